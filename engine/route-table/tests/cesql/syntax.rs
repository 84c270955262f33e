//! The grammar of CESQL.
//!
//! From tight to loose: NOT and -, LIKE, IN and EXISTS, `* / %`, `+ -`, comparisons, and AND, OR and XOR, which are
//! of one precedence and group to the right. Words mean the same in any case.

/// A value of CESQL: one that is written, or an attribute's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logic {
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    Literal(Literal),
    Attribute(String),
    Not(Box<Expr>),
    Logic(Logic, Box<Expr>, Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Like(Box<Expr>, String),
    In(Box<Expr>, Vec<Expr>),
    Exists(String),
    Arithmetic,
    Call,
}

/// `None` if it is no CESQL.
pub(crate) fn parse(text: &str) -> Option<Expr> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens };
    let expr = parser.logic()?;
    parser.tokens.is_empty().then_some(expr)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// In upper case if it is a keyword, otherwise in lower case.
    Word(String),
    Integer(i64),
    Text(String),
    Symbol(&'static str),
}

const KEYWORDS: [&str; 9] = ["AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "FALSE"];
/// Those that begin with another one come before it.
const SYMBOLS: [&str; 15] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/", "%"];

fn tokens(mut text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    loop {
        text = text.trim_start();
        let Some(first) = text.chars().next() else { return Some(tokens) };
        let word = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (token, length) = if let '\'' | '"' = first {
            let (inner, length) = quoted(text, first)?;
            (Token::Text(inner), length)
        } else if word > 0 {
            let (word, length) = (&text[..word], word);
            let upper = word.to_ascii_uppercase();
            let token = match word.parse() {
                Ok(number) => Token::Integer(number),
                Err(_) if KEYWORDS.contains(&upper.as_str()) => Token::Word(upper),
                Err(_) => Token::Word(word.to_ascii_lowercase()),
            };
            (token, length)
        } else {
            let symbol = SYMBOLS.into_iter().find(|symbol| text.starts_with(symbol))?;
            (Token::Symbol(symbol), symbol.len())
        };
        tokens.push(token);
        text = &text[length..];
    }
}

/// What stands between quotes, and how long it is with them. Only a quote is escaped: other backslashes are themselves.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut inner = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((inner, at + 1)),
            '\\' => inner.push(chars.next_if(|(_, next)| *next == quote).map_or('\\', |(_, quote)| quote)),
            c => inner.push(c),
        }
    }
    None
}

struct Parser<'t> {
    tokens: &'t [Token],
}

impl Parser<'_> {
    /// Takes the next token if `take` has something for it.
    fn next<T>(&mut self, take: impl Fn(&Token) -> Option<T>) -> Option<T> {
        let (first, rest) = self.tokens.split_first()?;
        let taken = take(first)?;
        self.tokens = rest;
        Some(taken)
    }

    fn symbol(&mut self, symbol: &str) -> Option<()> {
        self.next(|token| matches!(token, Token::Symbol(next) if *next == symbol).then_some(()))
    }

    fn keyword(&mut self, keyword: &str) -> Option<()> {
        self.next(|token| matches!(token, Token::Word(next) if next == keyword).then_some(()))
    }

    fn name(&mut self) -> Option<String> {
        self.next(|token| match token {
            Token::Word(word) if *word == word.to_ascii_lowercase() => Some(word.clone()),
            _ => None,
        })
    }

    fn text(&mut self) -> Option<String> {
        self.next(|token| if let Token::Text(text) = token { Some(text.clone()) } else { None })
    }

    fn integer(&mut self) -> Option<i64> {
        self.next(|token| if let Token::Integer(number) = token { Some(*number) } else { None })
    }

    fn logic(&mut self) -> Option<Expr> {
        let left = self.comparison()?;
        let logic = match () {
            () if self.keyword("AND").is_some() => Logic::And,
            () if self.keyword("OR").is_some() => Logic::Or,
            () if self.keyword("XOR").is_some() => Logic::Xor,
            () => return Some(left),
        };
        Some(Expr::Logic(logic, Box::new(left), Box::new(self.logic()?)))
    }

    fn comparison(&mut self) -> Option<Expr> {
        let mut left = self.sum()?;
        let comparison = |token: &Token| match token {
            Token::Symbol("=") => Some((Comparison::Equal, false)),
            Token::Symbol("!=" | "<>") => Some((Comparison::Equal, true)),
            Token::Symbol("<") => Some((Comparison::Below, false)),
            Token::Symbol("<=") => Some((Comparison::AtMost, false)),
            Token::Symbol(">") => Some((Comparison::Above, false)),
            Token::Symbol(">=") => Some((Comparison::AtLeast, false)),
            _ => None,
        };
        while let Some((comparison, negated)) = self.next(comparison) {
            left = not_if(negated, Expr::Compare(comparison, Box::new(left), Box::new(self.sum()?)));
        }
        Some(left)
    }

    fn sum(&mut self) -> Option<Expr> {
        self.arithmetic(&["+", "-"], |this| this.arithmetic(&["*", "/", "%"], Parser::test))
    }

    fn arithmetic(&mut self, symbols: &[&str], operand: impl Fn(&mut Self) -> Option<Expr>) -> Option<Expr> {
        let mut left = operand(self)?;
        while symbols.iter().any(|symbol| self.symbol(symbol).is_some()) {
            operand(self)?;
            left = Expr::Arithmetic;
        }
        Some(left)
    }

    fn test(&mut self) -> Option<Expr> {
        let mut subject = self.prefixed()?;
        loop {
            let negated = self.keyword("NOT").is_some();
            let test = if self.keyword("LIKE").is_some() {
                Expr::Like(Box::new(subject), self.text()?)
            } else if self.keyword("IN").is_some() {
                self.symbol("(")?;
                Expr::In(Box::new(subject), self.list()?)
            } else {
                return (!negated).then_some(subject);
            };
            subject = not_if(negated, test);
        }
    }

    /// The rest of a list that has at least one more item.
    fn list(&mut self) -> Option<Vec<Expr>> {
        let mut items = Vec::new();
        loop {
            items.push(self.logic()?);
            if self.symbol(")").is_some() {
                return Some(items);
            }
            self.symbol(",")?;
        }
    }

    fn prefixed(&mut self) -> Option<Expr> {
        if self.keyword("NOT").is_some() {
            return Some(Expr::Not(Box::new(self.prefixed()?)));
        }
        if self.symbol("-").is_some() {
            return match self.integer() {
                Some(number) => Some(Expr::Literal(Literal::Integer(-number))),
                None => self.prefixed().map(|_| Expr::Arithmetic),
            };
        }
        if self.keyword("EXISTS").is_some() {
            return self.name().map(Expr::Exists);
        }
        self.atom()
    }

    fn atom(&mut self) -> Option<Expr> {
        if self.symbol("(").is_some() {
            let inner = self.logic()?;
            return self.symbol(")").map(|()| inner);
        }
        if let Some(name) = self.name() {
            return match self.symbol("(") {
                None => Some(Expr::Attribute(name)),
                Some(()) if self.symbol(")").is_some() => Some(Expr::Call),
                Some(()) => self.list().map(|_| Expr::Call),
            };
        }
        let literal = self.next(|token| match token {
            Token::Word(word) => Some(Literal::Boolean(match word.as_str() {
                "TRUE" => true,
                "FALSE" => false,
                _ => return None,
            })),
            Token::Integer(number) => Some(Literal::Integer(*number)),
            Token::Text(text) => Some(Literal::Text(text.clone())),
            Token::Symbol(_) => None,
        });
        literal.map(Expr::Literal)
    }
}

fn not_if(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}
