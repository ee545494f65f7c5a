// Package harness starts what the end-to-end tests are made of: this repository's Caddy, PHP, nginx, browsers. All of it runs on
// free ports and in folders of its own, and ends with the test that started it.
//
// What a test waits for is a condition, bounded by Patience. Linux only, as it looks into /proc.
package harness
