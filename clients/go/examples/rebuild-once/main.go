// Two callers miss the same key at the same time. One rebuilds, and both get the value.
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

type user struct {
	ID   int
	Name string
}

var queries atomic.Int64

func fromDatabase(context.Context) (user, error) {
	queries.Add(1)
	return user{ID: 42, Name: "Ada"}, nil
}

func main() {
	var names [2]string
	var callers sync.WaitGroup
	// Two clients stand for two processes. Within one client, equal calls are joined before the service is asked.
	for at := range names {
		client, err := dibs.New("")
		if err != nil {
			log.Fatal(err)
		}
		defer client.Close()
		callers.Go(func() {
			found, err := dibs.Fetch(context.Background(), client, "example:user:42", fromDatabase, dibs.WithTTL(time.Minute))
			if err != nil {
				log.Fatal(err)
			}
			names[at] = found.Name
		})
	}
	callers.Wait()
	fmt.Printf("%s and %s after %d query\n", names[0], names[1], queries.Load())
}
