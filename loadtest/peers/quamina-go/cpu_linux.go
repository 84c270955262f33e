package main

import "syscall"

const rusageThread = 1

// threadNanos is the CPU time of this OS thread: what other processes on the machine take is not counted.
func threadNanos() float64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(rusageThread, &usage))
	return float64(usage.Utime.Nano() + usage.Stime.Nano())
}
