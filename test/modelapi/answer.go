package modelapi

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Answer says how the API answers a request. A request may choose by query parameters of the same names in lower case, such as
// ?tokens=100&rate=50.
type Answer struct {
	Tokens int           // of the answer
	Rate   float64       // tokens a second; 0: as fast as they are read
	First  time.Duration // before the headers
	Ping   time.Duration // between pings, in Anthropic's format; 0: one at the beginning
	Status int           // 0 or 200: an answer; anything else: this error
	Drop   int           // cuts the connection after so many tokens; 0: never
	Silent int           // says nothing more after so many tokens, until the client leaves; 0: never
	Fail   int           // reports an error within the stream after so many tokens; 0: never

	Words []string // the tokens of an answer that people read, over and over; without them they are those of Token
}

func (a Answer) token(i int) string {
	if len(a.Words) > 0 {
		return a.Words[i%len(a.Words)] + " "
	}
	return Token(i)
}

// Token returns the i-th token of an answer, from 0. Among them are line breaks and characters of several bytes.
func Token(i int) string {
	switch i % 10 {
	case 3:
		return fmt.Sprintf(" größe%d", i)
	case 7:
		return fmt.Sprintf(" \U0001F642%d", i)
	case 9:
		return fmt.Sprintf(" line%d\n", i)
	}
	return fmt.Sprintf(" token%d", i)
}

// Text returns the first n tokens in one.
func Text(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(Token(i))
	}
	return text.String()
}

// with returns the answer that a query asks for; a is what it does not mention.
func (a Answer) with(query url.Values) (Answer, error) {
	for name, values := range query {
		text, err := values[0], error(nil)
		switch name {
		case "tokens":
			a.Tokens, err = strconv.Atoi(text)
		case "rate":
			a.Rate, err = strconv.ParseFloat(text, 64)
		case "first":
			a.First, err = time.ParseDuration(text)
		case "ping":
			a.Ping, err = time.ParseDuration(text)
		case "status":
			a.Status, err = strconv.Atoi(text)
		case "drop":
			a.Drop, err = strconv.Atoi(text)
		case "silent":
			a.Silent, err = strconv.Atoi(text)
		case "fail":
			a.Fail, err = strconv.Atoi(text)
		default:
			err = fmt.Errorf("there is no such parameter")
		}
		if err != nil {
			return a, fmt.Errorf("%s: %w", name, err)
		}
	}
	return a, nil
}

// wait waits until the i-th token is due, at the answer's rate from start on.
func (a Answer) wait(ctx context.Context, start time.Time, i int) error {
	if a.Rate <= 0 {
		return ctx.Err()
	}
	return sleep(ctx, time.Until(start.Add(time.Duration(float64(i)/a.Rate*float64(time.Second)))))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
