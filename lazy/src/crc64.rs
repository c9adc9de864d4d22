//! CRC-64 of ISO 3309, with which tar-split checks the files that it puts together again.

/// The polynomial, its lowest power in the highest bit.
const POLYNOMIAL: u64 = 0xD800_0000_0000_0000;

/// What eight bytes in a row do to the sum, by their distance from its end.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut all = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ POLYNOMIAL
            } else {
                sum >> 1
            };
            bit += 1;
        }
        all[0][byte] = sum;
        byte += 1;
    }
    let mut at = 1;
    while at < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = all[at - 1][byte];
            all[at][byte] = all[0][(before & 0xff) as usize] ^ (before >> 8);
            byte += 1;
        }
        at += 1;
    }
    all
}

/// A sum in the making.
#[derive(Clone, Copy, Default)]
pub(crate) struct Crc64(u64);

impl Crc64 {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut sum = !self.0;
        let mut eights = bytes.chunks_exact(8);
        for eight in &mut eights {
            let mut block = [0; 8];
            block.copy_from_slice(eight);
            let mixed = (sum ^ u64::from_le_bytes(block)).to_le_bytes();
            sum = mixed
                .iter()
                .rev()
                .zip(&TABLES)
                .fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
        }
        for byte in eights.remainder() {
            let at = (sum ^ u64::from(*byte)) & 0xff;
            sum = TABLES[0][at as usize] ^ (sum >> 8);
        }
        self.0 = !sum;
    }

    /// As it is written: the highest byte first.
    pub(crate) fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::Crc64;

    #[test]
    fn it_is_the_sum_of_the_standard_however_the_bytes_come() {
        // Go's hash/crc64 with its table ISO.
        for (text, sum) in [
            ("", 0u64),
            ("a", 0x3420_0000_0000_0000),
            ("ab", 0x36c4_2000_0000_0000),
            ("abc", 0x3776_c420_0000_0000),
            ("abcd", 0x3367_76c4_2000_0000),
        ] {
            let mut whole = Crc64::default();
            whole.update(text.as_bytes());
            assert_eq!(whole.0, sum, "{text}");
        }
        let text = "however many bytes there are".as_bytes();
        for length in 0..text.len() {
            let (mut whole, mut parts) = (Crc64::default(), Crc64::default());
            whole.update(&text[..length]);
            text[..length]
                .iter()
                .for_each(|byte| parts.update(&[*byte]));
            assert_eq!(whole.0, parts.0, "{length}");
        }
    }
}
