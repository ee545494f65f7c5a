package matcher

import (
	"runtime"
	"sync"
	"weak"
)

// cache holds each value for as long as something else refers to it, so that equal keys have the same value.
type cache[K comparable, V any] struct {
	mu     sync.Mutex
	values map[K]weak.Pointer[V]
}

// get returns the value of a key. It makes one, outside of the lock, if there is none.
func (c *cache[K, V]) get(key K, create func() (*V, error)) (*V, error) {
	if v := c.have(key, nil); v != nil {
		return v, nil
	}
	v, err := create()
	if err != nil {
		return nil, err
	}
	return c.have(key, v), nil
}

// have returns the value of a key. If there is none, it takes fresh, unless that is nil.
func (c *cache[K, V]) have(key K, fresh *V) *V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.values[key].Value(); v != nil || fresh == nil {
		return v
	}
	if c.values == nil {
		c.values = map[K]weak.Pointer[V]{}
	}
	c.values[key] = weak.Make(fresh)
	runtime.AddCleanup(fresh, c.forget, key)
	return fresh
}

// forget removes a key whose value is gone, unless it has got a new one.
func (c *cache[K, V]) forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values[key].Value() == nil {
		delete(c.values, key)
	}
}
