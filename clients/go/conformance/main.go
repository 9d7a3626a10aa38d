// Command conformance plays this client's part in the conformance scenarios. Commands arrive as lines of JSON; answers
// and events leave as lines of JSON.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"sync"
)

// command is one line. Its other fields depend on Do.
type command struct {
	ID int64  `json:"id"`
	Do string `json:"do"`
	fields
}

func main() {
	log.SetFlags(0)
	out := &printer{encoder: json.NewEncoder(os.Stdout)}
	actor := newActor(func(event any) { out.print(event) })
	out.print(map[string]any{"event": "ready"})
	lines := json.NewDecoder(os.Stdin)
	for {
		var asked command
		if err := lines.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatalf("this is no command: %v", err)
		}
		// A call must be cancellable before the next line is read.
		act := actor.prepare(asked)
		go func() {
			result, err := act()
			if err != nil {
				out.print(map[string]any{"id": asked.ID, "error": faultOf(err)})
				return
			}
			out.print(map[string]any{"id": asked.ID, "result": result})
		}()
	}
}

// printer writes whole lines.
type printer struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

func (p *printer) print(line any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.encoder.Encode(line); err != nil {
		log.Fatalf("cannot answer: %v", err)
	}
}
