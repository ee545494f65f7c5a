package main

import (
	"cmp"
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

// table measures a scenario with all servers. It is not ok if one failed that is installed.
func (b *bench) table(ctx context.Context, s *scenario, wanted []string) (table string, ok bool) {
	if s.whole != nil {
		table, err := s.whole(ctx, b)
		if err != nil {
			progress("%s: %v", s.name, err)
		}
		return table, err == nil
	}
	candidates := s.servers
	if candidates == nil {
		candidates = servers
	}
	ok = true
	var rows []row
	for _, p := range s.protocols {
		if !slices.Contains(b.protocols, string(p)) {
			continue
		}
		runs := map[*server][]row{}
		measured := slices.DeleteFunc(slices.Clone(candidates), func(server *server) bool {
			return !slices.Contains(wanted, server.key) || !slices.Contains(server.protocols, p)
		})
		for range b.repeat {
			for _, server := range measured {
				if ctx.Err() != nil {
					return "", false
				}
				r, err := b.row(ctx, s, server, p)
				ok = ok && (err == nil || errors.Is(err, errMissing))
				runs[server] = append(runs[server], r)
			}
		}
		for _, server := range measured {
			rows = append(rows, medians(runs[server]))
		}
	}
	return s.markdown(b, rows), ok
}

// medians returns one row of several that measured the same.
func medians(runs []row) row {
	merged := runs[0]
	merged.cells = slices.Clone(merged.cells)
	for i := range merged.cells {
		var cells []cell
		for _, r := range runs {
			cells = append(cells, r.cell(i))
		}
		merged.cells[i] = median(cells)
	}
	for _, r := range runs {
		merged.problem = cmp.Or(merged.problem, r.problem)
	}
	return merged
}

// row measures a scenario with one server.
func (b *bench) row(ctx context.Context, s *scenario, server *server, p protocol) (row, error) {
	longest := rowTime
	if b.quick {
		longest = quickRowTime
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	began, used := time.Now(), ownCPU()
	r := &session{bench: b, scenario: s, server: server, protocol: p}
	result, err := s.measure(ctx, r)
	if n := len(r.targets); err != nil && n > 0 && r.targets[n-1].ended() { // those before it were stopped on purpose
		err = fmt.Errorf("%w; the server ended: %s", err, r.targets[n-1].lastWords())
	}
	r.stop()
	progress("%s: %s, %s: took %.1f s, and %.1f s of CPU of this process", s.name, server.name, p,
		time.Since(began).Seconds(), (ownCPU() - used).Seconds())
	if err != nil {
		if !errors.Is(err, errMissing) {
			progress("%s: %s, %s: %v", s.name, server.name, p, err)
		}
		result = row{problem: firstLine(err)}
	}
	result.server, result.protocol, result.label = server, p, b.label(server, p)
	return result, err
}

// label returns the name of a server with its configuration.
func (b *bench) label(server *server, p protocol) string {
	if server.wrapped != nil && server.wrapped(b, p) {
		return server.name + ", wrapper"
	}
	return server.name
}

// start runs the server. It is stopped with the session, unless it is stopped before.
func (r *session) start(ctx context.Context) (*target, error) {
	t, err := r.server.start(ctx, r.bench, r.scenario, r.protocol)
	if t != nil && t.process != nil {
		t.protocol = r.protocol
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

// fit returns how many of n clients there are over the session's protocol: those of HTTP/3 take most of the machine themselves.
func (r *session) fit(n int) int {
	if r.protocol == h3 {
		return min(n, r.h3Clients)
	}
	return n
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
	name := r.profileName("cpu")
	r.wg.Go(func() {
		if err := download(ctx, t.pprof+"profile?seconds=4", name); err != nil {
			progress("profile: %v", err)
		}
	})
}

// heap saves what the server's memory holds.
func (r *session) heap(ctx context.Context, t *target) {
	if t.pprof == "" {
		return
	}
	if err := download(ctx, t.pprof+"heap", r.profileName("heap")); err != nil {
		progress("profile: %v", err)
	}
}

func (r *session) profileName(kind string) string {
	r.profiled++
	name := fmt.Sprintf("%s-%s-%s-%s-%d.pprof", r.scenario.name, r.protocol, r.server.variant, kind, r.profiled)
	return filepath.Join(r.profiles, strings.ReplaceAll(name, "--", "-"))
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
