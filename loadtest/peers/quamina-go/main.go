// The driver of quamina (Go); its arguments and its output are described in ../README.md.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"quamina.net/go/quamina/v2"
)

const refused = 3

type rule struct {
	ID      string          `json:"id"`
	Pattern json.RawMessage `json:"pattern"`
}

func main() {
	options := map[string]string{}
	for _, argument := range os.Args[3:] {
		name, value, _ := strings.Cut(argument, "=")
		options[name] = value
	}
	number := func(name string, otherwise float64) float64 {
		value, ok := options[name]
		if !ok {
			return otherwise
		}
		parsed, err := strconv.ParseFloat(value, 64)
		must(err)
		return parsed
	}
	rules := readRules(os.Args[1])
	events := lines(os.Args[2], int(number("limit", 1e9)))
	churns := number("churn", 0) > 0

	heapBefore := heapBytes()
	// Only a matcher that was made for it can delete patterns.
	q, err := quamina.New(quamina.WithPatternDeletion(churns))
	must(err)
	if options["speed"] == "true" {
		must(q.SetMatcherBuildMode(quamina.BuiltForSpeed))
	}
	began := time.Now()
	for _, rule := range rules {
		if err := q.AddPattern(rule.ID, string(rule.Pattern)); err != nil {
			fmt.Fprintf(os.Stderr, "refused %s: %s\n", rule.ID, strings.ReplaceAll(err.Error(), "\n", " "))
			os.Exit(refused)
		}
	}
	load := time.Since(began)
	heap := heapBytes() - heapBefore
	if file, ok := options["out"]; ok {
		writeAnswers(q, events, file)
	}

	passes := passes{q: q, events: events, least: int(number("passes", 5)), maxSeconds: number("maxsec", 1e9), minSeconds: number("minsec", 0)}
	changes := churn{}
	if churns {
		passes.expectWhatIsNow()
		changes.start(q.Copy(), readRules(options["extra"])[0], number("churn", 0))
	}
	passes.run()
	var hash uint64
	if churns {
		changes.end()
	} else {
		hash = hashOf(q, events[:passes.done])
	}

	usPerUpdate := 0.0
	if changes.updates > 0 {
		usPerUpdate = float64(changes.spent.Microseconds()) / float64(changes.updates)
	}
	fmt.Printf("{\"peer\":\"quamina-go\",\"rules\":%d,\"events\":%d,\"load_ms\":%.1f,\"heap_mb\":%.1f,\"rss_mb\":%.1f,"+
		"\"ns_per_event\":[%s],\"cpu_ns_per_event\":[%s],\"matches\":%d,\"hash\":\"%016x\",\"updates\":%d,\"us_per_update\":%.1f,"+
		"\"expected\":%d,\"lost\":%d,\"threw\":0}\n",
		len(rules), passes.done, float64(load.Nanoseconds())/1e6, heap/1e6, rssBytes()/1e6, strings.Join(passes.wall, ","),
		strings.Join(passes.cpu, ","), passes.matches, hash, changes.updates, usPerUpdate, passes.expected, passes.lost)
}

// passes matches all events again and again, on one OS thread.
type passes struct {
	q          *quamina.Quamina
	events     [][]byte
	least      int
	maxSeconds float64
	minSeconds float64
	// How many matches each event had before the patterns began to change; nil: they don't.
	before         []int
	wall, cpu      []string
	done, matches  int
	expected, lost int
}

func (p *passes) expectWhatIsNow() {
	p.before = make([]int, len(p.events))
	for i, event := range p.events {
		p.before[i] = len(match(p.q, event))
	}
}

func (p *passes) run() {
	runtime.LockOSThread()
	first := time.Now()
	for pass := 0; pass < p.least || p.before != nil && time.Since(first).Seconds() < p.minSeconds; pass++ {
		wallBegan, cpuBegan := time.Now(), threadNanos()
		p.pass(wallBegan)
		events := float64(max(1, p.done))
		p.cpu = append(p.cpu, fmt.Sprintf("%.1f", (threadNanos()-cpuBegan)/events))
		p.wall = append(p.wall, fmt.Sprintf("%.1f", float64(time.Since(wallBegan).Nanoseconds())/events))
	}
}

func (p *passes) pass(began time.Time) {
	p.matches, p.done = 0, 0
	for i, event := range p.events {
		found := len(match(p.q, event))
		if p.before != nil {
			p.expected += p.before[i]
			p.lost += max(0, p.before[i]-found)
		}
		p.matches += found
		p.done++
		if p.done&63 == 0 && time.Since(began).Seconds() > p.maxSeconds {
			break
		}
	}
}

// churn adds and deletes one pattern, many times a second.
type churn struct {
	ended   atomic.Bool
	over    chan struct{}
	updates int
	spent   time.Duration
}

func (c *churn) start(q *quamina.Quamina, rule rule, perSecond float64) {
	c.over = make(chan struct{})
	go func() {
		first := time.Now()
		for !c.ended.Load() {
			began := time.Now()
			if c.updates%2 == 0 {
				must(q.AddPattern(rule.ID, string(rule.Pattern)))
			} else {
				must(q.DeletePatterns(rule.ID))
			}
			c.spent += time.Since(began)
			c.updates++
			time.Sleep(time.Until(first.Add(time.Duration(float64(c.updates) * 1e9 / perSecond))))
		}
		close(c.over)
	}()
}

func (c *churn) end() {
	c.ended.Store(true)
	<-c.over
}

func match(q *quamina.Quamina, event []byte) []quamina.X {
	matches, err := q.MatchesForEvent(event)
	must(err)
	return matches
}

func writeAnswers(q *quamina.Quamina, events [][]byte, name string) {
	file, err := os.Create(name)
	must(err)
	out := bufio.NewWriter(file)
	for _, event := range events {
		ids := []string{}
		for _, id := range match(q, event) {
			ids = append(ids, id.(string))
		}
		sort.Strings(ids)
		must(json.NewEncoder(out).Encode(ids))
	}
	must(out.Flush())
	must(file.Close())
}

func hashOf(q *quamina.Quamina, events [][]byte) (sum uint64) {
	for i, event := range events {
		for _, id := range match(q, event) {
			sum += fnv1a(strconv.Itoa(i) + ":" + id.(string))
		}
	}
	return sum
}

func fnv1a(text string) uint64 {
	hash := uint64(0xcbf29ce484222325)
	for i := 0; i < len(text); i++ {
		hash = (hash ^ uint64(text[i])) * 0x100000001b3
	}
	return hash
}

func readRules(name string) (rules []rule) {
	for _, line := range lines(name, 1<<40) {
		var rule rule
		must(json.Unmarshal(line, &rule))
		rules = append(rules, rule)
	}
	return rules
}

func lines(name string, limit int) (lines [][]byte) {
	file, err := os.Open(name)
	must(err)
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(make([]byte, 1<<20), 1<<26)
	for len(lines) < limit && scanner.Scan() {
		if len(scanner.Bytes()) > 0 {
			lines = append(lines, append([]byte(nil), scanner.Bytes()...))
		}
	}
	must(scanner.Err())
	return lines
}

func heapBytes() float64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// rssBytes is 0 where there is no /proc.
func rssBytes() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmRSS") {
			kib, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			return kib * 1024
		}
	}
	return 0
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
