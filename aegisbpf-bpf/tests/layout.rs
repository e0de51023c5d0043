//! The layouts in the built objects, read out of their BTF, are the ones that Rust has.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::BTreeMap,
    mem::{offset_of, size_of},
};

use aegisbpf_bpf::{AEGIS, OBSERVE, SELFTEST, abi};
use object::{Object, ObjectSection};

/// Size, and name and byte offset of each field, in order.
type Layout = (usize, Vec<(String, usize)>);

macro_rules! layout {
    ($type:ty { $($field:ident),* $(,)? }) => {
        (size_of::<$type>(), vec![$((stringify!($field).to_owned(), offset_of!($type, $field))),*])
    };
}

fn ours() -> BTreeMap<&'static str, Layout> {
    BTreeMap::from([
        ("object_key", layout!(abi::ObjectKey { ino, dev, kind })),
        (
            "cgroup_file_key",
            layout!(abi::CgroupFileKey {
                cgroup,
                ino,
                dev,
                pad
            }),
        ),
        (
            "executable_file_key",
            layout!(abi::ExecutableFileKey {
                exe_ino,
                ino,
                exe_dev,
                dev
            }),
        ),
        (
            "net_key",
            layout!(abi::NetKey {
                cgroup,
                addr,
                port,
                proto,
                kind,
                direction,
                pad
            }),
        ),
        ("comm_key", layout!(abi::CommKey { name })),
        (
            "address_record",
            layout!(abi::AddressRecord {
                addr,
                port,
                family,
                proto,
                pad
            }),
        ),
        ("task_record", layout!(abi::TaskRecord { tgid, pad, comm })),
        (
            "rule_ref",
            layout!(abi::RuleRef {
                rule,
                effect,
                generation,
                pad
            }),
        ),
        (
            "short_name_key",
            layout!(abi::ShortNameKey {
                ino,
                dev,
                len,
                name
            }),
        ),
        (
            "name_key",
            layout!(abi::NameKey {
                ino,
                dev,
                len,
                name
            }),
        ),
        ("name_ref", layout!(abi::NameRef { rule, kind })),
        (
            "inode_key",
            layout!(abi::InodeKey {
                ino,
                dev,
                generation,
                kind,
                pad
            }),
        ),
        ("bound", layout!(abi::Bound { rule, state })),
        ("sieve_row", layout!(abi::SieveRow { words })),
        (
            "filter_patch",
            layout!(abi::FilterPatch {
                slot,
                set,
                clear,
                count,
                uncount
            }),
        ),
        (
            "file_identity",
            layout!(abi::FileIdentity {
                ino,
                dev,
                generation,
                keeps_generation,
                pad
            }),
        ),
        ("count_key", layout!(abi::CountKey { cgroup, rule })),
        (
            "counts",
            layout!(abi::Counts {
                audited,
                denied,
                exempted
            }),
        ),
        (
            "control",
            layout!(abi::Control {
                generation,
                mode,
                sample_every,
                self_tgid,
                self_start
            }),
        ),
        (
            "emergency",
            layout!(abi::Emergency {
                since_ns,
                on,
                uid,
                pid,
                pad,
                reason
            }),
        ),
        (
            "dead_man",
            layout!(abi::DeadMan {
                deadline_ns,
                patience_ns
            }),
        ),
        (
            "event",
            layout!(abi::Event {
                boot_ns,
                cgroup,
                ino,
                dev,
                rule,
                pid,
                tgid,
                uid,
                gid,
                operation,
                decision,
                path_form,
                pad0,
                path_len,
                pad1,
                comm,
                path,
            }),
        ),
    ])
}

#[test]
fn layout_of_the_objects_is_ours() {
    let mut seen = Vec::new();
    for (object, bytes) in [
        ("aegis", AEGIS),
        ("observe", OBSERVE),
        ("selftest", SELFTEST),
    ] {
        let built = structs(bytes);
        for (name, layout) in ours() {
            if let Some(found) = built.get(name) {
                assert_eq!(found, &layout, "struct {name} in {object}.bpf.o");
                seen.push(name);
            }
        }
    }
    // Inner maps give only sizes of key and value, so a type that only they use need not be in the BTF of all.
    for name in ours().keys() {
        assert!(
            seen.contains(name),
            "struct {name} is in no object: nothing was compared"
        );
    }
}

#[test]
fn objects_are_stripped_and_keep_their_type_information() {
    for bytes in [AEGIS, OBSERVE, SELFTEST] {
        let file = object::File::parse(bytes).unwrap();
        assert!(
            file.section_by_name(".BTF").is_some() && file.section_by_name(".BTF.ext").is_some()
        );
        assert!(
            file.sections()
                .all(|s| !s.name().unwrap_or_default().starts_with(".debug"))
        );
        let text = String::from_utf8_lossy(bytes);
        assert!(
            !text.contains("/home/") && !text.contains("aegisbpf-bpf/bpf"),
            "a path of the builder's machine"
        );
    }
}

/// The structs of an object. Format: Documentation/bpf/btf.rst of the kernel.
fn structs(object: &[u8]) -> BTreeMap<String, Layout> {
    let file = object::File::parse(object).unwrap();
    let btf = file.section_by_name(".BTF").unwrap().data().unwrap();
    let word = |at: usize| u32::from_le_bytes(btf[at..at + 4].try_into().unwrap()) as usize;
    let (header, types, types_len, strings) = (word(4), word(8), word(12), word(16));
    let name = |offset: usize| {
        let text = &btf[header + strings + offset..];
        let end = text.iter().position(|&b| b == 0).unwrap();
        String::from_utf8(text[..end].to_vec()).unwrap()
    };
    let mut found = BTreeMap::new();
    let (mut at, end) = (header + types, header + types + types_len);
    while at < end {
        let (name_offset, info, size) = (word(at), word(at + 4), word(at + 8));
        let (kind, count) = (info >> 24 & 0x1f, info & 0xffff);
        at += 12;
        if kind == 4 {
            let fields = (0..count)
                .map(|n| (name(word(at + 12 * n)), word(at + 12 * n + 8) / 8))
                .collect();
            found.insert(name(name_offset), (size, fields));
        }
        // What follows the common part, by kind (BTF_KIND_…).
        at += match kind {
            1 | 14 | 17 => 4,              // INT, VAR, DECL_TAG
            3 => 12,                       // ARRAY
            4 | 5 | 15 | 19 => 12 * count, // STRUCT, UNION, DATASEC, ENUM64
            6 | 13 => 8 * count,           // ENUM, FUNC_PROTO
            _ => 0,
        };
    }
    found
}
