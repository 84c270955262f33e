//go:build !linux

package main

import "time"

var start = time.Now()

// threadNanos is wall-clock time here: only Linux tells a Go program what one of its threads has used.
func threadNanos() float64 {
	return float64(time.Since(start).Nanoseconds())
}
