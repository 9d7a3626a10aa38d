package dibs

// Which of several replicas has a key: rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to
// increase hit rates", 1998). The clients of all languages compute the same, so that with [WithKeyAffinity] a key has
// one replica in the whole fleet.

// hashOf is FNV-1a of 32 bits. That of hash/fnv would cost each call two allocations.
func hashOf(text string) uint32 {
	hash := uint32(2166136261)
	for at := range len(text) {
		hash = (hash ^ uint32(text[at])) * 16777619
	}
	return hash
}

// rankOf: the replica with the highest rank has the key. seed is the hash of its address, such as 10.0.0.1:50051.
func rankOf(keyHash, seed uint32) uint32 {
	// The last step of MurmurHash3, which makes every bit count.
	mixed := keyHash ^ seed
	mixed = (mixed ^ mixed>>16) * 0x85ebca6b
	mixed = (mixed ^ mixed>>13) * 0xc2b2ae35
	return mixed ^ mixed>>16
}
