package main

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// number is a time in milliseconds. It may be text, and beyond all bounds.
type number struct {
	its   time.Duration
	isSet bool
}

func (n *number) UnmarshalJSON(text []byte) error {
	written := strings.Trim(string(text), `"`)
	if written == "null" {
		return nil
	}
	ms, err := strconv.ParseFloat(written, 64)
	if err != nil {
		return err
	}
	n.isSet = true
	switch ns := ms * float64(time.Millisecond); {
	case ns >= math.MaxInt64:
		n.its = math.MaxInt64
	case ns <= math.MinInt64:
		n.its = math.MinInt64
	default:
		n.its = time.Duration(math.Round(ns))
	}
	return nil
}
