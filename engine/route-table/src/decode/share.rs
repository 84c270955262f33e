//! Reads shares.

use super::Decoder;
use crate::fault::Fault;
use crate::limits;
use crate::predicate::{Test, Types};
use crate::share::Share;
use crate::wire::Reader;

impl Decoder<'_> {
    /// Reads a test for a share, and which types it is about.
    pub(super) fn share(&mut self, share: Reader<'_>) -> Option<(Test, Types)> {
        let (mut salt, mut from, mut to) = (None, None, None);
        self.each_field(share, |this, field| match field.number {
            1 => this.text("salt", &mut salt, field),
            2 => this.number("from", &mut from, field),
            3 => this.number("to", &mut to, field),
            number => this.refuse(Fault::UnknownField { message: "Share", number }),
        });
        let has_salt = self.required("salt", salt);
        let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
        let is_over = self.within("to", None, |this| this.is_over(&limits::SHARE_PLACES, to));
        if is_over || !has_salt {
            return None;
        }
        let (true, Ok(from), Ok(to)) = (from < to, u32::try_from(from), u32::try_from(to)) else {
            return self.refused(Fault::EmptyShare { from, to });
        };
        let text = salt.unwrap_or_default();
        let salt = self.keep(text);
        let shares = &mut self.table.conditions.literals.shares;
        shares.push(Share::new(salt, text, from, to));
        Some((Test::Share(shares.len() as u32 - 1), Types::TEXT.with(Types::NUMBER)))
    }
}
