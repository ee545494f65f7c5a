package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// rowTime and quickRowTime are the longest that one row may take.
const rowTime, quickRowTime = 4 * time.Minute, 20 * time.Second

// session is one server in one scenario: it makes one row.
type session struct {
	*bench
	scenario *scenario
	server   *server
	protocol protocol

	targets []*target
	swarms  []*swarm

	profiled int
	wg       sync.WaitGroup // of the profile that is under way
}

// row is a line of a table.
type row struct {
	server   string
	protocol protocol
	cells    []string
	values   []float64 // what goals look at; what they mean is the scenario's own
	problem  string    // instead of cells
}

// table measures a scenario with all servers. It is not ok if one failed that is installed.
func (b *bench) table(ctx context.Context, s *scenario, wanted []string) (table string, ok bool) {
	if s.whole != nil {
		table, err := s.whole(ctx, b)
		if err != nil {
			progress("%s: %v", s.name, err)
		}
		return table, err == nil
	}
	ok = true
	var rows []row
	for _, p := range s.protocols {
		for _, server := range append(slices.Clone(servers), s.also...) {
			if !slices.Contains(wanted, server.key) || !slices.Contains(server.protocols, p) || ctx.Err() != nil {
				continue
			}
			began, used := time.Now(), ownCPU()
			r, err := b.row(ctx, s, server, p)
			progress("%s: %s, %s: took %.1f s, and %.1f s of CPU of this process", s.name, server.name, p,
				time.Since(began).Seconds(), (ownCPU() - used).Seconds())
			if err != nil {
				r = row{problem: firstLine(err)}
				if !errors.Is(err, errMissing) {
					ok = false
					progress("%s: %s, %s: %v", s.name, server.name, p, err)
				}
			}
			r.server, r.protocol = server.name, p
			rows = append(rows, r)
		}
	}
	return s.markdown(b, rows), ok
}

func (b *bench) row(ctx context.Context, s *scenario, server *server, p protocol) (row, error) {
	longest := rowTime
	if b.quick {
		longest = quickRowTime
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	r := &session{bench: b, scenario: s, server: server, protocol: p}
	defer r.stop()
	result, err := s.measure(ctx, r)
	if n := len(r.targets); err != nil && n > 0 && r.targets[n-1].ended() { // those before it were stopped on purpose
		err = fmt.Errorf("%w; the server ended: %s", err, r.targets[n-1].lastWords())
	}
	return result, err
}

// start runs the server. It is stopped with the session, unless it is stopped before.
func (r *session) start(ctx context.Context) (*target, error) {
	t, err := r.server.start(ctx, r.bench, r.scenario, r.protocol)
	if t != nil && t.process != nil {
		r.targets = append(r.targets, t)
	}
	return t, err
}

// swarm begins a swarm, which is closed with the session.
func (r *session) swarm(t *target) (*swarm, error) {
	s, err := t.swarm()
	if err == nil {
		r.swarms = append(r.swarms, s)
	}
	return s, err
}

func (r *session) stop() {
	r.wg.Wait()
	for _, t := range r.targets {
		t.stop() // first, so that closing its clients costs nothing
	}
	for _, s := range r.swarms {
		s.close()
	}
}

// ready starts a server with n clients.
func (r *session) ready(ctx context.Context, n int) (*target, *swarm, error) {
	t, err := r.start(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := r.swarm(t)
	if err != nil {
		return nil, nil, err
	}
	if err := s.mustConnect(ctx, n); err != nil {
		return nil, nil, err
	}
	return t, s, sleep(ctx, r.settle)
}

// meter measures what a server uses from a moment on.
type meter struct {
	target *target
	cpu    time.Duration
	at     int64
}

func (r *session) meter(ctx context.Context, t *target) (*meter, error) {
	r.profile(ctx, t)
	cpu, err := t.cpu()
	return &meter{t, cpu, now()}, err
}

// spent returns the server's CPU time so far.
func (m *meter) spent() (time.Duration, error) {
	cpu, err := m.target.cpu()
	return cpu - m.cpu, err
}

// profile saves what the server does in the next seconds.
func (r *session) profile(ctx context.Context, t *target) {
	if t.pprof == "" {
		return
	}
	r.wg.Wait() // there can be one at a time
	r.profiled++
	name := filepath.Join(r.profiles, fmt.Sprintf("%s-%s-%d.pprof", r.scenario.name, r.protocol, r.profiled))
	r.wg.Go(func() {
		if err := download(ctx, t.pprof+"?seconds=4", name); err != nil {
			progress("profile: %v", err)
		}
	})
}

func download(ctx context.Context, url, name string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, response.Body)
	return errors.Join(err, f.Close())
}

// ownCPU is what the load generator has used.
func ownCPU() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ReplaceAll(line[:min(len(line), 160)], "|", "/")
}
