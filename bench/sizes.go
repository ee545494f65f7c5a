package main

import "time"

// sizes are the numbers of a run.
type sizes struct {
	idle     []int         // clients; the last number is reached from growFrom
	growFrom int           // clients
	idleWait time.Duration // from connecting to looking
	settle   time.Duration // from connecting to publishing

	clients       int // of the scenarios that say no other number
	paceEvery     time.Duration
	paceFor       time.Duration
	saturated     int   // broadcasts
	users         []int // clients
	posts         int   // to one user each, for each number of clients
	batched       int   // events
	storm         int   // clients
	missed        int   // events of each client that resumes
	slowBefore    time.Duration
	slowFor       time.Duration
	slowEventSize int
}

var fullSizes = sizes{
	idle: []int{5_000, 15_000}, growFrom: 1_000, idleWait: 8 * time.Second, settle: time.Second,
	clients: 2_000, paceEvery: 100 * time.Millisecond, paceFor: 10 * time.Second, saturated: 2_000,
	users: []int{1_000, 2_000, 10_000, 15_000}, posts: 20_000, batched: 200_000, storm: 10_000, missed: 50,
	slowBefore: 5 * time.Second, slowFor: 10 * time.Second, slowEventSize: 4 << 10,
}

var quickSizes = sizes{
	idle: []int{100, 300}, growFrom: 50, idleWait: 100 * time.Millisecond, settle: 100 * time.Millisecond,
	clients: 100, paceEvery: 50 * time.Millisecond, paceFor: 500 * time.Millisecond, saturated: 100,
	users: []int{50, 100}, posts: 400, batched: 4_000, storm: 300, missed: 50,
	slowBefore: 300 * time.Millisecond, slowFor: 600 * time.Millisecond, slowEventSize: 4 << 10,
}

// fit makes do with the descriptors that a process may have. Of sse_push's, a fifth is kept for other things.
func (s *sizes) fit(descriptors int) {
	most := descriptors / 4 * 3
	for _, numbers := range [][]int{s.idle, s.users} {
		for i := range numbers {
			numbers[i] = min(numbers[i], most)
		}
	}
	s.growFrom, s.clients, s.storm = min(s.growFrom, most), min(s.clients, most), min(s.storm, most)
}
