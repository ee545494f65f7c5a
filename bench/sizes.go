package main

import "time"

// sizes are the numbers of a run.
type sizes struct {
	idle      []int           // clients
	idleH3    []int           // the same, over HTTP/3
	idleWaits []time.Duration // from connecting to looking: before the collection that follows a storm, and twice after it
	settle    time.Duration   // from connecting to publishing

	h3Clients   int // the most clients over HTTP/3 in all other scenarios
	streamConns int // connections that carry several streams
	streams     int // further streams on each of them

	clients       int // of the scenarios that say no other number
	paceEvery     time.Duration
	paceFor       time.Duration
	saturated     int   // broadcasts
	saturatedSlow int   // broadcasts of servers that would take minutes for all
	users         []int // clients
	posts         int   // to one user each, for each number of clients
	batched       int   // events
	storm         int   // clients
	missed        int   // events of each client that resumes
	slowBefore    time.Duration
	slowFor       time.Duration
	slowEventSize int
	slowH3        int // clients over HTTP/3

	tokenStreams []int // answers that stream at once
	tabs         int   // that hear each of them
	tokenFor     time.Duration
	relays       int // that stream while something happens
	starts       int // of relays in a second
	reloads      int
	troubleAfter time.Duration

	requests int // small ones
	files    int // downloads and uploads
	parked   int // connections that hold a stream, each of which has a request once a second
	rounds   int // of these requests
	round    time.Duration
}

var fullSizes = sizes{
	idle: []int{5_000, 15_000}, idleH3: []int{1_000, 3_000}, idleWaits: []time.Duration{4 * time.Second, 8 * time.Second, 16 * time.Second},
	settle: time.Second, h3Clients: 1_000, streamConns: 100, streams: 100,
	clients: 2_000, paceEvery: 100 * time.Millisecond, paceFor: 10 * time.Second, saturated: 2_000, saturatedSlow: 500,
	users: []int{1_000, 2_000, 10_000, 15_000}, posts: 20_000, batched: 200_000, storm: 10_000, missed: 50,
	slowBefore: 5 * time.Second, slowFor: 10 * time.Second, slowEventSize: 4 << 10, slowH3: 200,
	tokenStreams: []int{300, 1_000}, tabs: 3, tokenFor: 10 * time.Second, relays: 100, starts: 1_000, reloads: 20, troubleAfter: 3 * time.Second,
	requests: 20_000, files: 4_000, parked: 200, rounds: 5, round: time.Second,
}

var quickSizes = sizes{
	idle: []int{100, 300}, idleH3: []int{20, 50}, idleWaits: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond},
	settle: 100 * time.Millisecond, h3Clients: 50, streamConns: 10, streams: 20,
	clients: 100, paceEvery: 50 * time.Millisecond, paceFor: 500 * time.Millisecond, saturated: 100, saturatedSlow: 100,
	users: []int{50, 100}, posts: 400, batched: 4_000, storm: 300, missed: 50,
	slowBefore: 300 * time.Millisecond, slowFor: 600 * time.Millisecond, slowEventSize: 4 << 10, slowH3: 50,
	tokenStreams: []int{10, 20}, tabs: 3, tokenFor: time.Second, relays: 10, starts: 50, reloads: 3, troubleAfter: 500 * time.Millisecond,
	requests: 400, files: 40, parked: 20, rounds: 2, round: 200 * time.Millisecond,
}

// fit makes do with the descriptors that a process may have. Of sse_push's, a fifth is kept for other things.
func (s *sizes) fit(descriptors int) {
	most := descriptors / 4 * 3
	for _, numbers := range [][]int{s.idle, s.idleH3, s.users} {
		for i := range numbers {
			numbers[i] = min(numbers[i], most)
		}
	}
	s.clients, s.storm = min(s.clients, most), min(s.storm, most)
}
