//! Which of several replicas has a key: rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to
//! increase hit rates", 1998). The clients of all languages compute the same, so that with key affinity a key has one
//! replica in the whole fleet.

/// FNV-1a of 32 bits, over the text's UTF-8.
pub(crate) fn hash_of(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The replica with the highest rank has the key. `seed` is the hash of its address, such as `10.0.0.1:50051`.
pub(crate) fn rank_of(key_hash: u32, seed: u32) -> u32 {
    // The last step of MurmurHash3, which makes every bit count.
    let mut mixed = key_hash ^ seed;
    mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x85eb_ca6b);
    mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    mixed ^ (mixed >> 16)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const ADDRESSES: [&str; 4] = ["10.0.0.1:50051", "10.0.0.2:50051", "10.0.0.3:50051", "[fd00::1]:50051"];

    /// Which of the addresses has the key.
    fn share_of(key: &str, addresses: &[&str]) -> usize {
        let rank = |at: &usize| rank_of(hash_of(key), hash_of(addresses[*at]));
        (0..addresses.len()).max_by_key(rank).unwrap()
    }

    /// The clients of all languages have this table: they must agree.
    #[test]
    fn a_key_has_the_replica_that_every_client_gives_it_to() {
        for (key, at) in [
            ("user:42", 3),
            ("user:43", 0),
            ("user:48", 2),
            ("user:41", 1),
            ("", 3),
            ("a", 3),
            ("product:1", 1),
            ("größe", 3),
            ("価格", 0),
            ("page:/en/index.html", 1),
        ] {
            assert_eq!(share_of(key, &ADDRESSES), at, "{key}");
        }
    }

    #[test]
    fn all_clients_write_an_address_alike() {
        for (text, written) in [
            ("10.0.0.1:50051", ADDRESSES[0]),
            ("[FD00:0::1]:50051", ADDRESSES[3]),
            ("[fd00:0:0:0:0:0:0:1]:50051", ADDRESSES[3]),
        ] {
            assert_eq!(text.parse::<SocketAddr>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn each_replica_has_its_share_and_only_the_keys_of_one_that_goes_move() {
        let mut counts = [0; 4];
        for at in 0..10_000 {
            let key = format!("key {at}");
            let has = share_of(&key, &ADDRESSES);
            counts[has] += 1;
            assert!(has == 0 || share_of(&key, &ADDRESSES[1..]) == has - 1, "{key} has moved");
        }
        assert!(counts.iter().all(|count| *count > 2_300), "{counts:?}");
    }
}
