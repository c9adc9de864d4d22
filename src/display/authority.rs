//! Xauthority files: one entry after the other, each a family and four strings of bytes (address,
//! display number, protocol, key), every length and the family two bytes, the higher one first.

use std::fmt;

/// The one protocol that X servers and ssh speak everywhere.
pub const MAGIC_COOKIE: &[u8] = b"MIT-MAGIC-COOKIE-1";

/// Larger files are none of these.
pub const LARGEST: u64 = 1 << 20;

/// Whose address an entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family(pub u16);

impl Family {
    /// IPv4.
    pub const INTERNET: Self = Self(0);
    /// IPv6.
    pub const INTERNET6: Self = Self(6);
    /// A socket of this machine; the address is its host name.
    pub const LOCAL: Self = Self(256);
    /// Any address.
    pub const WILD: Self = Self(0xffff);
}

/// What opens a display. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie(pub Vec<u8>);

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<cookie>")
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose address.
    pub family: Family,
    /// The address.
    pub address: Vec<u8>,
    /// The display's number in decimal digits; empty for any.
    pub number: Vec<u8>,
    /// The protocol's name.
    pub protocol: Vec<u8>,
    /// Its key.
    pub cookie: Cookie,
}

impl Entry {
    /// A cookie for one display at any address, so that the container's host name doesn't matter.
    pub fn wild(number: u16, cookie: Cookie) -> Self {
        Self {
            family: Family::WILD,
            address: Vec::new(),
            number: number.to_string().into_bytes(),
            protocol: MAGIC_COOKIE.to_vec(),
            cookie,
        }
    }
}

/// The entries of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authority {
    /// Those that are whole, in order.
    pub entries: Vec<Entry>,
    /// Where the file is damaged: the first byte of an entry that isn't whole. X programs use what
    /// stands before it, too.
    pub damaged_at: Option<usize>,
}

impl Authority {
    /// Reads a file's bytes.
    pub fn read(bytes: &[u8]) -> Self {
        let mut read = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((entry, after)) = entry(rest) else {
                read.damaged_at = Some(bytes.len() - rest.len());
                break;
            };
            read.entries.push(entry);
            rest = after;
        }
        read
    }

    /// The bytes of a file with these entries.
    ///
    /// # Errors
    /// Where a part is longer than two bytes can count.
    pub fn write(entries: &[Entry]) -> Result<Vec<u8>, std::num::TryFromIntError> {
        let mut bytes = Vec::new();
        for entry in entries {
            bytes.extend(entry.family.0.to_be_bytes());
            for part in [
                &entry.address,
                &entry.number,
                &entry.protocol,
                &entry.cookie.0,
            ] {
                bytes.extend(u16::try_from(part.len())?.to_be_bytes());
                bytes.extend(part);
            }
        }
        Ok(bytes)
    }

    /// The cookie for a display, chosen as X's own library does: the first entry whose address is
    /// one of these (or any) and whose number is this (or any).
    pub fn cookie(&self, addresses: &[(Family, Vec<u8>)], number: u16) -> Option<&Cookie> {
        let number = number.to_string();
        let fits = |entry: &&Entry| {
            let here = entry.family == Family::WILD
                || addresses
                    .iter()
                    .any(|(family, address)| *family == entry.family && *address == entry.address);
            here && (entry.number.is_empty() || entry.number == number.as_bytes())
                && entry.protocol == MAGIC_COOKIE
        };
        self.entries.iter().find(fits).map(|entry| &entry.cookie)
    }
}

fn entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (family, mut rest) = two_bytes(bytes)?;
    let mut part = || {
        let (length, after) = two_bytes(rest)?;
        let (part, after) = after.split_at_checked(usize::from(length))?;
        rest = after;
        Some(part.to_vec())
    };
    let entry = Entry {
        family: Family(family),
        address: part()?,
        number: part()?,
        protocol: part()?,
        cookie: Cookie(part()?),
    };
    Some((entry, rest))
}

fn two_bytes(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*first), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn an_entry() -> impl Strategy<Value = Entry> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        (any::<u16>(), bytes(), bytes(), bytes(), bytes()).prop_map(
            |(family, address, number, protocol, cookie)| Entry {
                family: Family(family),
                address,
                number,
                protocol,
                cookie: Cookie(cookie),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(entries in prop::collection::vec(an_entry(), 0..8)) {
            let bytes = Authority::write(&entries).unwrap();
            prop_assert_eq!(Authority::read(&bytes), Authority { entries, damaged_at: None });
        }

        #[test]
        fn a_file_that_was_cut_keeps_its_whole_entries(entries in prop::collection::vec(an_entry(), 1..6), cut in any::<prop::sample::Index>()) {
            let bytes = Authority::write(&entries).unwrap();
            let cut = cut.index(bytes.len());
            let read = Authority::read(&bytes[..cut]);
            prop_assert!(read.entries.len() < entries.len());
            prop_assert_eq!(&read.entries[..], &entries[..read.entries.len()]);
            let whole = Authority::write(&read.entries).unwrap().len();
            prop_assert_eq!(read.damaged_at, (whole < cut).then_some(whole));
        }

        #[test]
        fn anything_can_be_read_and_what_was_read_is_in_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let read = Authority::read(&bytes);
            let whole = Authority::write(&read.entries).unwrap();
            prop_assert_eq!(&bytes[..whole.len()], &whole[..]);
            prop_assert_eq!(read.damaged_at, (whole.len() < bytes.len()).then_some(whole.len()));
        }
    }

    #[test]
    fn the_cookie_is_chosen_by_address_and_number() {
        let entry = |family, address: &str, number: &str, protocol: &[u8], cookie: u8| Entry {
            family,
            address: address.as_bytes().to_vec(),
            number: number.as_bytes().to_vec(),
            protocol: protocol.to_vec(),
            cookie: Cookie(vec![cookie]),
        };
        let here = [(Family::LOCAL, b"here".to_vec())];
        let authority = Authority {
            entries: vec![
                entry(Family::LOCAL, "there", "0", MAGIC_COOKIE, 1),
                entry(Family::LOCAL, "here", "1", MAGIC_COOKIE, 2),
                entry(Family::LOCAL, "here", "0", b"XDM-AUTHORIZATION-1", 3),
                entry(Family::LOCAL, "here", "0", MAGIC_COOKIE, 4),
                entry(Family::WILD, "", "7", MAGIC_COOKIE, 5),
                entry(Family::LOCAL, "here", "", MAGIC_COOKIE, 6),
            ],
            damaged_at: None,
        };
        let chosen = |number| authority.cookie(&here, number).unwrap().0[0];
        assert_eq!([chosen(0), chosen(1), chosen(7), chosen(9)], [4, 2, 5, 6]);
        assert_eq!(authority.cookie(&[], 0), None);
    }

    #[test]
    fn a_cookie_is_not_shown() {
        let entry = Entry::wild(0, Cookie(b"secret".to_vec()));
        assert!(format!("{entry:?}").contains("<cookie>"));
    }
}
