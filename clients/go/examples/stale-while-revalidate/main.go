// A value past its TTL is served at once while one caller rebuilds it in the background.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

func main() {
	client, err := dibs.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	version := 0
	render := func(context.Context) ([]byte, error) {
		version++
		time.Sleep(2 * time.Second)
		return fmt.Appendf(nil, "page %d", version), nil
	}
	read := func() []byte {
		page, err := dibs.Fetch(context.Background(), client, "example:page", render,
			dibs.WithTTL(100*time.Millisecond), dibs.WithStaleFor(time.Minute))
		if err != nil {
			log.Fatal(err)
		}
		return page
	}

	first := read()
	time.Sleep(150 * time.Millisecond)
	started := time.Now()
	stale := read()
	waited := "after a wait"
	if time.Since(started) < 2*time.Second {
		waited = "at once"
	}
	next := stale
	for bytes.Equal(next, stale) {
		time.Sleep(100 * time.Millisecond)
		next = read()
	}

	fmt.Printf("%s, then %s %s, then %s\n", first, stale, waited, next)
}
