package command

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

func subscribeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "subscribe <url>",
		Short: "Opens a stream as a browser does, and prints its events",
		Long: longText(`
Opens a stream as a browser's EventSource does, and prints its events as they arrive. When the stream ends, it reconnects
after the time that the server has set, and resumes from the last id. It stops at a signal, after --count events, or when
the server refuses it for good. Events whose names begin with "sse:" are the proxy's own; --count does not count them.`),
		Example: examples("caddy sse-push subscribe 'http://localhost:8080/events?userId=u1' --count 1",
			"caddy sse-push subscribe 'http://localhost:8080/events?topic=orders/42' --header 'Cookie: session=s1' --count 1 --json"),
		Args: cobra.ExactArgs(1),
		RunE: runs(untilSignal(subscribe)),
	}
	f := cmd.Flags()
	f.StringArrayP("header", "H", nil, "A header of the request, such as 'Cookie: session=s1'; may be repeated")
	f.String("last-event-id", "", "Resume after the event with this id")
	f.Int("count", 0, "Stop after this many events; 0: never")
	f.Bool("json", false, "Print each event as a line of JSON")
	f.Bool("insecure", false, "Accept any certificate of the server")
	return cmd
}

const (
	maxLine         = 64 << 20 // bytes of a line, and of an event's data
	defaultAgain    = 3 * time.Second
	longestAgain    = 30 * time.Second
	subscribeAnswer = 30 * time.Second // how long to wait for the answer's headers
)

// subscriber is the client of a stream.
type subscriber struct {
	client http.Client
	url    *url.URL
	header http.Header
	lastID string
	again  time.Duration
	begun  bool // there has been a stream

	out   *bufio.Writer
	json  *json.Encoder
	left  int // events to print before it stops; negative: no limit
	fails int // in a row
}

func subscribe(ctx context.Context, cmd *cobra.Command, args []string) error {
	s := &subscriber{again: defaultAgain, out: bufio.NewWriter(cmd.OutOrStdout()), lastID: cmd.Flag("last-event-id").Value.String()}
	var err error
	if s.url, err = url.Parse(args[0]); err != nil || s.url.Host == "" || s.url.Scheme != "http" && s.url.Scheme != "https" {
		return errors.New("give a URL that begins with http:// or https://")
	}
	headers, _ := cmd.Flags().GetStringArray("header")
	if s.header, err = parseHeaders(headers); err != nil {
		return err
	}
	count, _ := cmd.Flags().GetInt("count")
	if count < 0 {
		return errors.New("--count must not be negative")
	}
	if s.left = count; count == 0 {
		s.left = -1
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		s.json = json.NewEncoder(s.out)
		s.json.SetEscapeHTML(false)
	}
	insecure, _ := cmd.Flags().GetBool("insecure")
	s.client.Transport = &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, ResponseHeaderTimeout: subscribeAnswer, DisableCompression: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure},
	}
	for {
		err := s.stream(ctx)
		if err != nil || s.left == 0 || !pause(ctx, min(s.again<<min(s.fails, 8), max(s.again, longestAgain))) {
			return err
		}
	}
}

// stream prints one stream. It returns an error if there is no use in reconnecting.
func (s *subscriber) stream(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return errors.New("the URL or a header cannot be sent")
	}
	r.Header = s.header.Clone()
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cache-Control", "no-cache")
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	if s.lastID != "" {
		r.Header.Set("Last-Event-ID", s.lastID)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		if e := new(url.Error); errors.As(err, &e) { // the URL may hold a secret
			err = e.Err
		}
		return s.failed(awayError{fmt.Errorf("%s does not answer: %w", s.url.Host, err)})
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return errors.New("the server says that there is no stream, and not to reconnect (204)")
	case resp.StatusCode != http.StatusOK:
		err := fmt.Errorf("%s answers %d: %w", s.url.Host, resp.StatusCode, refusedBy(resp))
		if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			return err
		}
		return s.failed(err)
	case kind != "text/event-stream":
		return fmt.Errorf("the answer is not an event stream, but %q", kind)
	}
	s.begun, s.fails = true, 0
	reader := sse.NewReader(resp.Body, maxLine)
	defer func() {
		if id := reader.LastEventID(); id != "" {
			s.lastID = id
		}
	}()
	for {
		m, err := reader.Next()
		if d := reader.Retry(); d > 0 {
			s.again = d
		}
		if errors.Is(err, sse.ErrTooLong) {
			return err
		}
		if err != nil {
			return nil
		}
		if err := s.print(m); err != nil {
			return err
		}
		if s.left == 0 {
			return nil
		}
	}
}

// failed returns the error if there has never been a stream. Otherwise it counts a failure, and the client reconnects.
func (s *subscriber) failed(err error) error {
	if !s.begun {
		return err
	}
	s.fails++
	return nil
}

func (s *subscriber) print(m sse.Message) error {
	if s.json != nil {
		_ = s.json.Encode(struct { // Flush returns the error
			Event string `json:"event"`
			ID    string `json:"id"`
			Data  string `json:"data"`
		}{m.Type, m.ID, m.Data})
	} else {
		fmt.Fprintf(s.out, "event: %s\nid: %s\n", printable(m.Type), printable(m.ID))
		printData(s.out, m.Data)
		fmt.Fprintln(s.out)
	}
	if s.left > 0 && !strings.HasPrefix(m.Type, "sse:") {
		s.left--
	}
	return s.out.Flush()
}
