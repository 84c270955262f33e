//! Reads the text form of protobuf without knowing the messages: as much of it as the files of the CEL suite use.

/// A message: its fields in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node(Vec<(String, Item)>);

#[derive(Clone, Debug)]
enum Item {
    /// A number, a name, or the bytes of a text.
    Scalar(Vec<u8>),
    Message(Node),
}

impl Node {
    pub(crate) fn read(text: &str) -> Node {
        let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
        let node = reader.fields();
        assert_eq!(reader.at, text.len(), "{}", reader.rest());
        node
    }

    pub(crate) fn messages<'n>(&'n self, name: &str) -> impl Iterator<Item = &'n Node> {
        self.0.iter().filter(move |(field, _)| field == name).filter_map(|(_, item)| match item {
            Item::Message(node) => Some(node),
            Item::Scalar(_) => None,
        })
    }

    pub(crate) fn message(&self, name: &str) -> Option<&Node> {
        self.messages(name).next()
    }

    /// `None` also for bytes that are no text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().filter(|(field, _)| field == name).find_map(|(_, item)| match item {
            Item::Scalar(bytes) => std::str::from_utf8(bytes).ok(),
            Item::Message(_) => None,
        })
    }

    /// The name of the first field.
    pub(crate) fn first(&self) -> Option<&str> {
        self.0.first().map(|(name, _)| name.as_str())
    }
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.bytes[self.at..self.bytes.len().min(self.at + 80)]).into_owned()
    }

    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'#') => {
                    self.at += self.bytes[self.at..].iter().take_while(|byte| **byte != b'\n').count();
                }
                Some(byte) if byte.is_ascii_whitespace() || matches!(byte, b',' | b';') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self) -> String {
        self.peek();
        let wanted = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_.-+/".contains(byte);
        let count = self.bytes[self.at..].iter().take_while(wanted).count();
        assert!(count > 0, "a word at {}", self.rest());
        self.at += count;
        String::from_utf8(self.bytes[self.at - count..self.at].to_vec()).unwrap()
    }

    fn fields(&mut self) -> Node {
        let mut node = Node::default();
        while self.peek().is_some_and(|byte| byte != b'}') {
            let name = if self.eat(b'[') {
                let name = self.word();
                assert!(self.eat(b']'));
                name
            } else {
                self.word()
            };
            self.eat(b':');
            if self.eat(b'[') {
                while !self.eat(b']') {
                    let item = self.item();
                    node.0.push((name.clone(), item));
                }
            } else {
                let item = self.item();
                node.0.push((name, item));
            }
        }
        node
    }

    fn item(&mut self) -> Item {
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                let node = self.fields();
                assert!(self.eat(b'}'), "a closing brace at {}", self.rest());
                Item::Message(node)
            }
            Some(b'\'' | b'"') => {
                let mut bytes = Vec::new();
                while let Some(quote @ (b'\'' | b'"')) = self.peek() {
                    self.at += 1;
                    self.quoted(quote, &mut bytes);
                }
                Item::Scalar(bytes)
            }
            _ => Item::Scalar(self.word().into_bytes()),
        }
    }

    fn next(&mut self) -> u8 {
        self.at += 1;
        self.bytes[self.at - 1]
    }

    fn quoted(&mut self, quote: u8, bytes: &mut Vec<u8>) {
        loop {
            match self.next() {
                byte if byte == quote => return,
                b'\\' => self.escaped(bytes),
                byte => bytes.push(byte),
            }
        }
    }

    fn digits(&mut self, most: usize, radix: u32) -> u32 {
        let wanted = |byte: &&u8| char::from(**byte).is_digit(radix);
        let count = self.bytes[self.at..].iter().take(most).take_while(wanted).count();
        self.at += count;
        let digits = std::str::from_utf8(&self.bytes[self.at - count..self.at]).unwrap();
        u32::from_str_radix(digits, radix).unwrap()
    }

    fn escaped(&mut self, bytes: &mut Vec<u8>) {
        match self.next() {
            b'a' => bytes.push(7),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'v' => bytes.push(11),
            b'x' | b'X' => bytes.push(self.digits(2, 16) as u8),
            b'0'..=b'7' => {
                self.at -= 1;
                bytes.push(self.digits(3, 8) as u8);
            }
            long @ (b'u' | b'U') => {
                let code = self.digits(if long == b'u' { 4 } else { 8 }, 16);
                bytes.extend(char::from_u32(code).unwrap().to_string().bytes());
            }
            other => bytes.push(other),
        }
    }
}
