// The cache-aside client of rueidis, set up as its documentation says, for the bench `overload`. Each line on standard
// input is one stampede, and each line on standard output its result.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidisaside"
)

type stampede struct {
	Keys      []string `json:"keys"`
	RebuildMs int      `json:"rebuildMs"`
	WaitMs    int      `json:"waitMs"`
}

type result struct {
	Rebuilds int64     `json:"rebuilds"`
	Answered int       `json:"answered"`
	TookMs   []float64 `json:"tookMs"`
}

func main() {
	address := os.Args[1]
	count, err := strconv.Atoi(os.Args[2])
	fail(err)
	clients := make([]rueidisaside.CacheAsideClient, count)
	for at := range clients {
		clients[at], err = rueidisaside.NewClient(rueidisaside.ClientOption{
			ClientOption: rueidis.ClientOption{InitAddress: []string{address}},
		})
		fail(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var asked stampede
		fail(json.Unmarshal(lines.Bytes(), &asked))
		line, err := json.Marshal(run(clients, asked))
		fail(err)
		fmt.Println(string(line))
	}
}

// run makes every client request every key at once.
func run(clients []rueidisaside.CacheAsideClient, asked stampede) result {
	var rebuilds atomic.Int64
	var lock sync.Mutex
	var all sync.WaitGroup
	out := result{TookMs: []float64{}}
	for _, key := range asked.Keys {
		for _, client := range clients {
			all.Add(1)
			go func() {
				defer all.Done()
				began := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(asked.WaitMs)*time.Millisecond)
				defer cancel()
				_, err := client.Get(ctx, time.Hour, key, func(context.Context, string) (string, error) {
					rebuilds.Add(1)
					time.Sleep(time.Duration(asked.RebuildMs) * time.Millisecond)
					return "v", nil
				})
				lock.Lock()
				defer lock.Unlock()
				if err == nil {
					out.Answered++
				}
				out.TookMs = append(out.TookMs, float64(time.Since(began).Microseconds())/1000)
			}()
		}
	}
	all.Wait()
	out.Rebuilds = rebuilds.Load()
	return out
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
