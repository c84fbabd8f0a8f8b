//! The layout of everything that crosses, as text, and its hash.
//!
//! `layout.txt` is the recorded layout. A test compares it with what the compiler lays out, so that no
//! type that crosses changes unnoticed; the hash of the text is in each module's manifest.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;

use abi_stable::StableAbi;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::type_layout::{TLData, TLField, TypeLayout};

use super::module::RouterModule;

/// The recorded layout of this version.
pub const RECORDED: &str = include_str!("layout.txt");

/// FNV-1a of [`RECORDED`]. Equal hashes mean equal layouts; unequal ones say nothing about
/// compatibility, the version does.
pub const HASH: u64 = {
    let bytes = RECORDED.as_bytes();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < bytes.len() {
        hash ^= bytes[i] as u64;
        hash = hash.wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
};

/// Describes every type of this crate that is reachable from the root module: its size, alignment, and
/// fields in order.
pub fn describe() -> String {
    let root = <<RouterModule as PrefixTypeTrait>::PrefixRef as StableAbi>::LAYOUT;
    let mut seen = HashSet::new();
    let mut types = BTreeSet::new();
    visit(root, &mut seen, &mut types);
    types.into_iter().collect()
}

fn visit(layout: &'static TypeLayout, seen: &mut HashSet<*const TypeLayout>, types: &mut BTreeSet<String>) {
    if !seen.insert(std::ptr::from_ref(layout)) {
        return;
    }
    let mut text = format!(
        "{}: size {}, align {}\n",
        layout.full_type(),
        layout.size(),
        layout.alignment()
    );
    let fields: Vec<TLField> = match layout.data() {
        TLData::Struct { fields } | TLData::Union { fields } => fields.iter().collect(),
        TLData::Enum(variants) => {
            let _ = writeln!(text, "  variants {}", variants.variant_names.as_str());
            variants.fields.iter().collect()
        }
        TLData::PrefixType(prefix) => {
            let _ = writeln!(text, "  prefix of {} fields", prefix.first_suffix_field);
            prefix.fields.iter().collect()
        }
        TLData::Primitive(_) | TLData::Opaque => Vec::new(),
    };
    for field in &fields {
        let _ = writeln!(text, "  {}: {}", field.name(), field.layout().full_type());
        visit(field.layout(), seen, types);
        for function in field.function_range() {
            let signature = function.to_string();
            let _ = writeln!(text, "    {}", signature.lines().next().unwrap_or_default());
            for parameter in function
                .param_type_layouts
                .iter()
                .chain(function.return_type_layout())
            {
                visit(parameter(), seen, types);
            }
        }
    }
    for field in layout.phantom_fields().iter() {
        visit(field.layout(), seen, types);
    }
    if layout.package() == env!("CARGO_PKG_NAME") {
        types.insert(text);
    }
}

#[cfg(all(test, not(feature = "growth-probe")))]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_layout_is_the_one_that_the_compiler_lays_out() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/abi/layout.txt");
        let found = describe();
        if std::env::var_os("UPDATE_LAYOUT").is_some() {
            std::fs::write(path, &found).expect("layout.txt can be written");
            return;
        }
        assert_eq!(
            found, RECORDED,
            "the layout changed: append only, then record it with \
             `UPDATE_LAYOUT=1 cargo test -p presence-router-api layout` and note it in the CHANGELOG"
        );
    }
}
