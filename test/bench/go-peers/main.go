// The Go client and its users' alternatives: rueidisaside, set up as its documentation says, and redsync with a GET
// before the lock and after it. For the bench `clients`. Each line on standard input is a command, and each line on
// standard output its result.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// command is one line. Times are in milliseconds.
type command struct {
	Do        string `json:"do"`
	Way       string `json:"way"`
	Key       string `json:"key"`
	Keys      int    `json:"keys"`
	Calls     int    `json:"calls"`
	InFlight  int    `json:"inFlight"`
	RebuildMs int    `json:"rebuildMs"`
}

// value is the cached value: a text of 100 bytes.
var value = strings.Repeat("x", 100)

const waitMax = 60 * time.Second

// way is one way to get a value: from the cache, or by a rebuild.
type way func(ctx context.Context, key string, rebuild func() string) (string, error)

func main() {
	// The addresses of the service, of the value store, of the lock nodes, and of a replica without Redis.
	ways := openWays(os.Args[1], os.Args[2], strings.Split(os.Args[3], ","), os.Args[4])
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked command
		fail(json.Unmarshal(lines.Bytes(), &asked))
		line, err := json.Marshal(run(ways[asked.Way], asked))
		fail(err)
		fmt.Println(string(line))
	}
}

func run(its way, asked command) any {
	switch asked.Do {
	case "hits":
		return hits(its, asked)
	case "stampede":
		return stampede(its, asked)
	case "hold":
		// Holds the lease until this process is killed.
		held := make(chan struct{})
		go func() {
			_, _ = its(context.Background(), asked.Key, func() string {
				close(held)
				select {}
			})
		}()
		<-held
		return map[string]bool{"holds": true}
	case "take":
		return stampede(its, asked)
	default:
		panic("no such command: " + asked.Do)
	}
}

// hits measures the wall time and this process's CPU time of a hit, in nanoseconds.
func hits(its way, asked command) any {
	ctx := context.Background()
	once := func() {
		got, err := its(ctx, asked.Key, func() string { return value })
		fail(err)
		if got != value {
			panic("another value: " + got)
		}
	}
	// The first call rebuilds. A hit then fills the near cache.
	for range 1000 {
		once()
	}
	var left atomic.Int64
	left.Store(int64(asked.Calls))
	began, used := time.Now(), cpu()
	var all sync.WaitGroup
	for range asked.InFlight {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				once()
			}
		})
	}
	all.Wait()
	per := func(took time.Duration) float64 { return float64(took.Nanoseconds()) / float64(asked.Calls) }
	return map[string]float64{"wallNs": per(time.Since(began)), "cpuNs": per(cpu() - used)}
}

// stampede makes many callers request one key at once, or each of several.
func stampede(its way, asked command) any {
	var rebuilds atomic.Int64
	var lock sync.Mutex
	var all sync.WaitGroup
	tookMs := []float64{}
	for at := range asked.Calls {
		key := asked.Key
		if asked.Keys > 1 {
			key = fmt.Sprint(key, " ", at%asked.Keys)
		}
		all.Go(func() {
			began := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), waitMax)
			defer cancel()
			_, err := its(ctx, key, func() string {
				rebuilds.Add(1)
				time.Sleep(time.Duration(asked.RebuildMs) * time.Millisecond)
				return value
			})
			fail(err)
			lock.Lock()
			defer lock.Unlock()
			tookMs = append(tookMs, float64(time.Since(began).Microseconds())/1000)
		})
	}
	all.Wait()
	return map[string]any{"rebuilds": rebuilds.Load(), "tookMs": tookMs}
}

// cpu returns the CPU time that this process has used.
func cpu() time.Duration {
	var used syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
