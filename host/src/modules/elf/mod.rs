//! What is specific to ELF and to Linux: reading a shared library without running it, and where the dynamic
//! linker looks for others. Another platform gets a sibling of this directory. Reads bytes; decides nothing
//! about modules.

mod libraries;

use object::elf::{self, FileHeader64, Machine};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{Endianness, SymbolIndex};

use crate::modules::fault::Fault;
use crate::modules::refusal::printable;

pub(super) use crate::modules::elf::libraries::RunPaths;
pub use crate::modules::elf::libraries::{LibrarySearch, Resolution};

/// `O_NONBLOCK`: opening a pipe that nobody writes to returns at once.
pub(super) const OPEN_WITHOUT_WAITING: i32 = 0o4000;

/// What this process runs on.
pub(super) const HOST_MACHINE: &str = std::env::consts::ARCH;

const HEADER_BYTES: usize = size_of::<Header>();
const PROGRAM_HEADER_BYTES: u64 = size_of::<elf::ProgramHeader64<Endianness>>() as u64;
const SECTION_HEADER_BYTES: u64 = size_of::<elf::SectionHeader64<Endianness>>() as u64;

type Header = FileHeader64<Endianness>;

/// The facts of an ELF file, all of whose parts lie inside it.
pub(super) struct SharedObject<'data> {
    endian: Endianness,
    data: &'data [u8],
    sections: SectionTable<'data, Header>,
    symbols: SymbolTable<'data, Header>,
    dynamic: Dynamic,
    kind: Kind,
}

/// What ELF calls the type of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    SharedLibrary,
    Program,
    ObjectFile,
    Other,
}

/// What the dynamic linker is told.
#[derive(Default)]
struct Dynamic {
    needed: Vec<String>,
    run_paths: RunPaths,
    flags: u64,
    flags_1: u64,
}

/// Checks that the bytes begin as an ELF file for this machine does; what they are for, in a word.
pub(super) fn identify(bytes: &[u8]) -> Result<&'static str, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    if !bytes.starts_with(&elf::ELFMAG) {
        let magic_cut_short = elf::ELFMAG.starts_with(bytes);
        return Err(if magic_cut_short {
            header_cut_short(bytes)
        } else {
            Fault::NotElf {
                looks_like: looks_like(bytes),
            }
        });
    }
    let (Some(&class), Some(&order), Some(&[low, high])) = (
        bytes.get(4),
        bytes.get(5),
        bytes.get(18..).and_then(<[u8]>::first_chunk::<2>),
    ) else {
        return Err(header_cut_short(bytes));
    };
    let little = order == elf::ELFDATA2LSB.0;
    let number = if little {
        u16::from_le_bytes([low, high])
    } else {
        u16::from_be_bytes([low, high])
    };
    let machine = machine_name(Machine(number), little);
    let wide = class == elf::ELFCLASS64.0;
    if wide && little == cfg!(target_endian = "little") && machine == Some(HOST_MACHINE) {
        return if bytes.len() < HEADER_BYTES {
            Err(header_cut_short(bytes))
        } else {
            Ok(HOST_MACHINE)
        };
    }
    let width = if wide { "64-bit" } else { "32-bit" };
    let order = if little { "little-endian" } else { "big-endian" };
    let machine = machine.map_or_else(|| format!("machine {number}"), str::to_owned);
    Err(Fault::OtherMachine {
        found: format!("{machine} ({width}, {order})"),
        host: HOST_MACHINE,
    })
}

impl<'data> SharedObject<'data> {
    /// Reads what [`identify`] accepted, when every part that the headers name lies inside the file.
    pub(super) fn read(data: &'data [u8]) -> Result<Self, Fault> {
        let header = Header::parse(data).map_err(malformed("the file header"))?;
        let endian = header.endian().map_err(malformed("the file header"))?;

        let count = header.phnum(endian, data).map_err(malformed("the file header"))?;
        within(
            data,
            || "the table of segments".into(),
            header.e_phoff(endian),
            u64::from(count) * PROGRAM_HEADER_BYTES,
        )?;
        let segments = header
            .program_headers(endian, data)
            .map_err(malformed("the table of segments"))?;
        for (index, segment) in segments.iter().enumerate() {
            let (offset, size) = segment.file_range(endian);
            within(data, || format!("segment {index}"), offset, size)?;
        }

        let count = header.shnum(endian, data).map_err(malformed("the file header"))?;
        within(
            data,
            || "the table of sections".into(),
            header.e_shoff(endian),
            u64::from(count) * SECTION_HEADER_BYTES,
        )?;
        let sections = header
            .sections(endian, data)
            .map_err(malformed("the table of sections"))?;
        for (index, section) in sections.enumerate() {
            // Sections of zeros have a size in memory alone.
            if let Some((offset, size)) = section.file_range(endian) {
                within(data, || format!("section {}", index.0), offset, size)?;
            }
        }

        let symbols = sections
            .symbols(endian, data, elf::SHT_DYNSYM)
            .map_err(malformed("the table of symbols"))?;
        let dynamic = read_dynamic(endian, data, &sections)?;
        let started_by_itself = dynamic.flags_1 & elf::DF_1_PIE.0 != 0
            || segments
                .iter()
                .any(|segment| segment.p_type(endian) == elf::PT_INTERP);
        let kind = match header.e_type(endian) {
            elf::ET_DYN if started_by_itself => Kind::Program,
            elf::ET_DYN => Kind::SharedLibrary,
            elf::ET_EXEC => Kind::Program,
            elf::ET_REL => Kind::ObjectFile,
            _ => Kind::Other,
        };
        Ok(Self {
            endian,
            data,
            sections,
            symbols,
            dynamic,
            kind,
        })
    }

    /// Checks that the file is made to be loaded by others.
    pub(super) fn require_shared_library(&self) -> Result<(), Fault> {
        let found = match self.kind {
            Kind::SharedLibrary => return Ok(()),
            Kind::Program => "a program",
            Kind::ObjectFile => "an unlinked object file",
            Kind::Other => "an ELF file of another type",
        };
        Err(Fault::NotShared { found })
    }

    /// The content of the section `name`.
    pub(super) fn section(&self, name: &str) -> Option<&'data [u8]> {
        let (_, section) = self.sections.section_by_name(self.endian, name.as_bytes())?;
        section.data(self.endian, self.data).ok()
    }

    /// Whether others can find `name` here.
    pub(super) fn exports(&self, name: &str) -> bool {
        self.symbols_named(name).any(|symbol| {
            !symbol.is_undefined(self.endian)
                && !symbol.is_local()
                && matches!(symbol.st_visibility(), elf::STV_DEFAULT | elf::STV_PROTECTED)
        })
    }

    /// Whether `name` is taken from another library.
    pub(super) fn imports(&self, name: &str) -> bool {
        self.symbols_named(name)
            .any(|symbol| symbol.is_undefined(self.endian))
    }

    /// The names of the libraries that the dynamic linker must find, in order.
    pub(super) fn needed(&self) -> &[String] {
        &self.dynamic.needed
    }

    /// Where the file says to look for them.
    pub(super) fn run_paths(&self) -> &RunPaths {
        &self.dynamic.run_paths
    }

    /// Whether its thread-local storage must fit into what little is reserved at the start of a process.
    pub(super) fn has_static_tls(&self) -> bool {
        self.dynamic.flags & elf::DF_STATIC_TLS.0 != 0
    }

    fn symbols_named(&self, name: &str) -> impl Iterator<Item = &'data elf::Sym64<Endianness>> {
        self.symbols
            .enumerate()
            .filter(|(index, _)| *index != SymbolIndex(0))
            .map(|(_, symbol)| symbol)
            .filter(move |symbol| {
                self.symbols
                    .symbol_name(self.endian, symbol)
                    .is_ok_and(|found| found == name.as_bytes())
            })
    }
}

fn read_dynamic(
    endian: Endianness,
    data: &[u8],
    sections: &SectionTable<'_, Header>,
) -> Result<Dynamic, Fault> {
    let unreadable = malformed("the dynamic section");
    let table = sections.dynamic_table(endian, data).map_err(&unreadable)?;
    let mut dynamic = Dynamic::default();
    for entry in &table {
        let text = || {
            let bytes = table.string(entry).map_err(&unreadable)?;
            Ok(printable(&String::from_utf8_lossy(bytes)))
        };
        match entry.tag {
            elf::DT_NEEDED => dynamic.needed.push(text()?),
            elf::DT_RPATH => dynamic.run_paths.rpath = Some(text()?),
            elf::DT_RUNPATH => dynamic.run_paths.runpath = Some(text()?),
            elf::DT_FLAGS => dynamic.flags = entry.val,
            elf::DT_FLAGS_1 => dynamic.flags_1 = entry.val,
            _ => {}
        }
    }
    Ok(dynamic)
}

fn within(data: &[u8], part: impl FnOnce() -> String, offset: u64, size: u64) -> Result<(), Fault> {
    let end = offset.saturating_add(size);
    let has = data.len() as u64;
    if end <= has {
        Ok(())
    } else {
        Err(Fault::Truncated {
            part: part(),
            end,
            size: has,
        })
    }
}

fn header_cut_short(bytes: &[u8]) -> Fault {
    Fault::Truncated {
        part: "the file header".into(),
        end: HEADER_BYTES as u64,
        size: bytes.len() as u64,
    }
}

fn malformed(part: &'static str) -> impl Fn(object::read::Error) -> Fault {
    move |source| Fault::Malformed { part, source }
}

/// The machine as Rust names it; `None` for one that we have no name for.
fn machine_name(machine: Machine, little: bool) -> Option<&'static str> {
    Some(match machine {
        elf::EM_386 => "x86",
        elf::EM_X86_64 => "x86_64",
        elf::EM_ARM => "arm",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_RISCV => "riscv64",
        elf::EM_LOONGARCH => "loongarch64",
        elf::EM_PPC64 if little => "powerpc64le",
        elf::EM_PPC64 => "powerpc64",
        elf::EM_S390 => "s390x",
        _ => return None,
    })
}

fn looks_like(bytes: &[u8]) -> &'static str {
    const KINDS: [(&[u8], &str); 9] = [
        (b"\xcf\xfa\xed\xfe", "a macOS library"),
        (b"\xca\xfe\xba\xbe", "a macOS library"),
        (b"MZ", "a Windows library"),
        (b"!<arch>\n", "a static library"),
        (b"\0asm", "a WebAssembly module"),
        (b"#!", "a script"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"PK", "a zip archive"),
        (b"/* GNU ld script", "a linker script"),
    ];
    if let Some((_, kind)) = KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return kind;
    }
    let start = bytes.get(..512).unwrap_or(bytes);
    let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    if start.iter().all(is_text) {
        "a text file"
    } else {
        "a file of an unknown kind"
    }
}
