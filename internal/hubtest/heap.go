package hubtest

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// heap returns how many bytes of this process's memory are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // pools are emptied the second time
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// heapPeak watches this process's memory. peak ends that, and returns by how many bytes it has grown at most.
func heapPeak() (peak func() int64) {
	before, end, ended := heap(), make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		objects := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		most := before
		for {
			metrics.Read(objects) // which does not stop the world
			most = max(most, int64(objects[0].Value.Uint64()))
			select {
			case <-tick.C:
			case <-end:
				ended <- most - before
				return
			}
		}
	}()
	return func() int64 {
		close(end)
		return <-ended
	}
}
