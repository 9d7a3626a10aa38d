package dibs_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

type node struct {
	Next *node `json:"next"`
}

type price struct {
	Amount float64 `json:"amount"`
}

// latin1 is a text that is no UTF-8.
type latin1 struct{ number int }

func (latin1) MarshalText() ([]byte, error) { return []byte("Zo\xeb"), nil }

type byPointer struct{ Unused float64 }

func (*byPointer) MarshalText() ([]byte, error) { return []byte("Zo\xeb"), nil }

// ownJSON has a field that JSON cannot carry, and leaves it out.
type ownJSON struct{ Hidden float64 }

func (*ownJSON) MarshalJSON() ([]byte, error) { return []byte(`"\ufffd"`), nil }

type cart struct {
	price
	Items  []price        `json:"items,omitempty"`
	More   any            `json:"more,omitzero"`
	Hidden chan int       `json:"-"`
	secret func()         // is no JSON, and nothing is missed
	ByName map[string]any `json:"by_name"`
}

func TestWhatJSONCannotCarryIsNamedBeforeAnythingIsStored(t *testing.T) {
	ring := &node{}
	ring.Next = &node{ring}
	list := make([]any, 1)
	list[0] = list
	for name, test := range map[string]struct {
		value  any
		place  string
		saying string
	}{
		"NaN":                     {math.NaN(), "", "NaN"},
		"an infinity":             {[]any{1, math.Inf(-1)}, "[1]", "-Inf"},
		"NaN in an item":          {&cart{Items: []price{{1}, {math.NaN()}}}, "items[1].amount", "NaN"},
		"one that is embedded":    {cart{price: price{math.Inf(1)}}, "amount", "+Inf"},
		"a channel":               {cart{More: []any{make(chan int)}}, "more[0]", "chan int"},
		"a function in a map":     {cart{ByName: map[string]any{"f": func() {}}}, "by_name.f", "func()"},
		"a complex number":        {[2]complex64{}, "[0]", "complex64"},
		"a cycle of pointers":     {ring, "next.next", "cycle"},
		"a cycle of slices":       {list, "[0]", "cycle"},
		"a year that is none":     {map[string]any{"at": time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}, "at", "year"},
		"a number that is none":   {[]json.Number{"ten"}, "[0]", "ten"},
		"a text that is no UTF-8": {cart{More: map[string]string{"name": "Zo\xeb"}}, "more.name", "UTF-8"},
		"such a key":              {map[string]int{"Zo\xeb": 1}, "", "UTF-8"},
		"one of its own":          {cart{More: latin1{1}}, "more", "UTF-8"},
		"such a key of its own":   {map[latin1]int{{1}: 1}, "", "UTF-8"},
		"one behind a pointer":    {&struct{ Own byPointer }{}, "Own", "UTF-8"},
		"JSON that is no UTF-8":   {cart{More: json.RawMessage("\"Zo\xeb\"")}, "more", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t)
			fake.getOrLock.will(lease("token", 10_000))
			its := client(t, fake.target, dibs.WithSession(false), ttl)
			_, err := dibs.Fetch(t.Context(), its, "k", returning(test.value))
			var fault *dibs.UnencodableError
			if !errors.As(err, &fault) || fault.Place != test.place || !strings.Contains(err.Error(), test.saying) {
				t.Fatalf("got %v", err)
			}
			if len(fake.publish.heard()) > 0 {
				t.Error("it was published")
			}
			if told := fake.release.heard()[0].GetFailure().GetMessage(); told != err.Error() {
				t.Errorf("the waiters are told %q", told)
			}
		})
	}
}

func TestWhatLooksWrongAndIsJSONIsStored(t *testing.T) {
	whole := &node{}
	for name, value := range map[string]any{
		"nothing in it":              cart{secret: func() {}, Hidden: make(chan int)},
		"the same twice":             []*node{whole, whole},
		"the sign of a replacement":  "\ufffd",
		"its name as a text":         `\ufffd`,
		"JSON that somebody wrote":   json.RawMessage(`"\ufffd"`),
		"an empty list of channels":  []chan int{},
		"a pointer to no channel":    (*chan int)(nil),
		"a map by numbers":           map[int]string{1: "one"},
		"bytes, which are no text":   struct{ Data []byte }{[]byte("\xff")},
		"the largest of all numbers": uint64(math.MaxUint64),
		"what leaves out its NaN":    &struct{ Own ownJSON }{ownJSON{math.NaN()}},
		"no text of its own":         map[string]any{"none": (*byPointer)(nil), "sign": "\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t)
			fake.getOrLock.will(lease("token", 10_000))
			fake.publish.will(published(stored))
			its := client(t, fake.target, dibs.WithSession(false), ttl)
			if _, err := dibs.Fetch(t.Context(), its, "k", func(context.Context) (any, error) { return value, nil }); name != "a pointer to no channel" && err != nil {
				t.Fatal(err)
			}
			if len(fake.publish.heard()) != 1 {
				t.Error("it was not published")
			}
		})
	}
}
