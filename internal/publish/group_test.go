package publish

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/decode"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// slowBroker does not know in time what becomes of records, and goes on with them after Append.
type slowBroker struct {
	*membroker.Broker
	lists [][]broker.Record
}

func (b *slowBroker) Append(_ context.Context, records []broker.Record) []broker.Result {
	b.lists = append(b.lists, records)
	results := make([]broker.Result, len(records))
	results[len(results)-1].Err = broker.ErrUnknownOutcome
	return results
}

// A list of records that a broker may go on with is neither emptied nor used again.
func TestListOfUnknownOutcome(t *testing.T) {
	b := &slowBroker{Broker: membroker.Open()}
	theHub := hub.New("test", b, hub.Settings{History: hub.History{Events: 10, Bytes: 1 << 20, Age: time.Hour}})
	defer func() { _ = theHub.Close() }()
	texts := []string{"one", "two", "three"}
	for _, text := range texts {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`[{"broadcast":true,"data":"`+text+`"},{"broadcast":true,"data":"last"}]`))
		r.Header.Set("Content-Type", "application/json")
		d, p := decode.New(r, 1<<10)
		if p != nil {
			t.Fatal(p)
		}
		answers := All(t.Context(), theHub, d, nil)
		d.Close()
		if len(answers) != 2 || answers[0].Error != nil || answers[1].Error == nil {
			t.Errorf("got %+v", answers)
		}
	}
	for i, text := range texts {
		if list := b.lists[i]; len(list) != 2 || string(list[0].Data) != text || string(list[1].Data) != "last" {
			t.Errorf("list %d is %+v", i, list)
		}
	}
}
