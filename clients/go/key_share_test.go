package dibs

import (
	"fmt"
	"testing"
)

var shareAddresses = []string{"10.0.0.1:50051", "10.0.0.2:50051", "10.0.0.3:50051", "[fd00::1]:50051"}

// shareOf is which of the addresses has the key.
func shareOf(key string, addresses []string) int {
	at, highest := 0, uint32(0)
	for i, address := range addresses {
		if rank := rankOf(hashOf(key), hashOf(address)); rank > highest {
			at, highest = i, rank
		}
	}
	return at
}

// The clients of all languages have this table: they must agree.
func TestAKeyHasTheReplicaThatEveryClientGivesItTo(t *testing.T) {
	for key, at := range map[string]int{
		"user:42":             3,
		"user:43":             0,
		"user:48":             2,
		"user:41":             1,
		"":                    3,
		"a":                   3,
		"product:1":           1,
		"größe":               3,
		"価格":                  0,
		"page:/en/index.html": 1,
	} {
		if got := shareOf(key, shareAddresses); got != at {
			t.Errorf("%q: %d, want %d", key, got, at)
		}
	}
}

func TestEachReplicaHasItsShareAndOnlyTheKeysOfOneThatGoesMove(t *testing.T) {
	counts := make([]int, len(shareAddresses))
	for at := range 10_000 {
		key := fmt.Sprintf("key %d", at)
		has := shareOf(key, shareAddresses)
		counts[has]++
		if left := shareOf(key, shareAddresses[1:]); has > 0 && left != has-1 {
			t.Errorf("%q has moved from %d to %d", key, has, left+1)
		}
	}
	for _, count := range counts {
		if count <= 2_300 {
			t.Errorf("the shares are %v", counts)
		}
	}
}

func TestTheShareOfACallCostsNoAllocation(t *testing.T) {
	seed := hashOf(shareAddresses[0])
	if allocations := allocationsOf(func() { _ = rankOf(hashOf("user:42"), seed) }); allocations > 0 {
		t.Errorf("%v allocations", allocations)
	}
}
