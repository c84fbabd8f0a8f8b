//! Files that are no modules, or no longer, made from bytes: text, cut, patched. Each is made in a
//! directory that the test gives, and its path answered.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::artifacts;
use crate::cargo::keep_others_out;

/// A file of text.
pub fn text(directory: &Path) -> PathBuf {
    write(directory, "text", b"This is no library.\n")
}

/// A file of nothing.
pub fn empty(directory: &Path) -> PathBuf {
    write(directory, "empty", b"")
}

/// A directory with the name of a library.
pub fn directory(directory: &Path) -> PathBuf {
    let path = directory.join("directory.so");
    fs::create_dir(&path).expect("a temporary directory can hold another");
    path
}

/// The broadcast module, cut short after so many bytes.
pub fn cut_after(directory: &Path, bytes: usize) -> PathBuf {
    let whole = broadcast();
    assert!(bytes < whole.len(), "the module has only {} bytes", whole.len());
    write(directory, &format!("cut-after-{bytes}"), &whole[..bytes])
}

/// Where it is worth cutting the broadcast module: inside of each header, in the middle, before the last
/// byte.
pub fn cuts() -> Vec<usize> {
    let len = broadcast().len();
    vec![
        1,
        16,
        63,
        64,
        100,
        4096,
        65_536,
        len / 4,
        len / 2,
        len - 4096,
        len - 1,
    ]
}

/// The broadcast module as if it were for another machine (RISC-V).
pub fn other_machine(directory: &Path) -> PathBuf {
    const E_MACHINE: Range<usize> = 18..20;
    const RISC_V: u16 = 243;
    let mut bytes = broadcast();
    bytes[E_MACHINE].copy_from_slice(&RISC_V.to_le_bytes());
    write(directory, "other-machine", &bytes)
}

/// The broadcast module as if it were for machines of 32 bits.
pub fn other_class(directory: &Path) -> PathBuf {
    const EI_CLASS: usize = 4;
    const CLASS_32: u8 = 1;
    let mut bytes = broadcast();
    bytes[EI_CLASS] = CLASS_32;
    write(directory, "other-class", &bytes)
}

/// A program: the host itself.
pub fn program(directory: &Path) -> PathBuf {
    let path = directory.join("program.so");
    fs::copy(artifacts::host(), &path).expect("the host's binary can be copied");
    keep_others_out(&path);
    path
}

/// The broadcast module without its section: renamed, as a tool that does not know it might strip it.
pub fn without_section(directory: &Path) -> PathBuf {
    let mut bytes = broadcast();
    let names = section_names(&bytes);
    let patched = replace(&mut bytes[names], b".presence_router\0", b".presence_routeX\0");
    assert_eq!(patched, 1, "the section's name is in the table of names once");
    write(directory, "without-section", &bytes)
}

/// The broadcast module as if it were built with another version of the contract.
pub fn other_sdk(directory: &Path) -> PathBuf {
    let ours = format!("\"sdk_version\":\"{}\"", artifacts::contract_version());
    let other = "\"sdk_version\":\"9.9.9\"";
    assert_eq!(ours.len(), other.len(), "the version has to be as long as 9.9.9");
    let mut bytes = broadcast();
    let patched = replace(&mut bytes, ours.as_bytes(), other.as_bytes());
    assert_eq!(patched, 1, "the version is in the manifest once");
    write(directory, "other-sdk", &bytes)
}

/// The library that [`needs_missing_library`] needs and nobody has.
pub const MISSING_LIBRARY: &str = "libnone_.so.1";

/// The broadcast module as if it needed a library that is not there.
pub fn needs_missing_library(directory: &Path) -> PathBuf {
    let mut bytes = broadcast();
    let patched = replace(&mut bytes, b"\0libgcc_s.so.1\0", b"\0libnone_.so.1\0");
    assert!(patched > 0, "a module that unwinds needs libgcc_s.so.1");
    write(directory, "needs-missing-library", &bytes)
}

fn broadcast() -> Vec<u8> {
    let path = artifacts::broadcast();
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(format!("{name}.so"));
    fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    keep_others_out(&path);
    path
}

/// Replaces every occurrence, and says how many there were.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    assert_eq!(from.len(), to.len(), "a patch must not move what follows");
    let found: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from)
        .map(|(at, _)| at)
        .collect();
    for at in &found {
        bytes[*at..at + to.len()].copy_from_slice(to);
    }
    found.len()
}

/// Where an ELF64 file of this machine keeps the names of its sections.
fn section_names(bytes: &[u8]) -> Range<usize> {
    let u64_at = |at: usize| {
        let field = bytes[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_le_bytes(field)).expect("an offset in memory")
    };
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (headers, header_size, index) = (u64_at(0x28), u16_at(0x3a), u16_at(0x3e));
    let header = headers + index * header_size;
    let (offset, size) = (u64_at(header + 0x18), u64_at(header + 0x20));
    offset..offset + size
}
