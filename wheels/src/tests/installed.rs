//! What wheels come to: every rule once. That these are uv's rules, `tests/peers/uv.rs` shows.

use std::io::Read as _;

use crate::testing::{SmallWheel, ZipEntry};
use crate::{Compression, FileList, LayerError, Target, check_overlaps, write_wheels};

/// Mode, path and, where it is short, content of every entry below the environment's folder.
fn tree(wheels: &[SmallWheel]) -> Result<String, LayerError> {
    let target = Target::new("3.11".parse().unwrap(), "/opt/venv").unwrap();
    let wheels: Vec<_> = wheels.iter().map(|wheel| wheel.open().unwrap()).collect();
    let mut blob = Vec::new();
    write_wheels(&wheels, &target, Compression::Zstd, &mut blob)?;
    let unpacked = zstd::decode_all(&blob[..]).unwrap();
    let mut lines = String::new();
    for entry in tar::Archive::new(&unpacked[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(
            (header.uid().unwrap(), header.mtime().unwrap()),
            (0, 315_532_800)
        );
        let mode = header.mode().unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let path = path.strip_prefix("opt/venv/").unwrap();
        if path.ends_with("RECORD") || path.starts_with("bin/") || text.len() < 12 {
            let text = text.lines().collect::<Vec<_>>().join(" | ");
            lines.push_str(&format!("{mode:o} {path} {text}\n"));
        } else {
            lines.push_str(&format!("{mode:o} {path}\n"));
        }
    }
    Ok(lines)
}

#[test]
fn every_file_goes_where_the_format_says() {
    let wheel = SmallWheel::new("w_1")
        .file("w/__init__.py", b"")
        .entry(ZipEntry::new("w/private", b"p").mode(0o100600))
        .entry(ZipEntry::new("w/group", b"g").mode(0o100610))
        .entry(ZipEntry::new("w/no-mode", b"n").mode(0))
        .entry(ZipEntry::new("w/link", b"__init__.py").mode(0o120777))
        .entry(ZipEntry::new("w/empty/", b"").mode(0o40755))
        .file("w/./dot//x.py", b"x")
        .file("w.pth", b"import w\n")
        .file("w_1-1.0.data/purelib/pure.py", b"pure")
        .file("w_1-1.0.data/platlib/plat.py", b"plat")
        .file("w_1-1.0.data/headers/h/w.h", b"h")
        .file("w_1-1.0.data/data/share/w.txt", b"data")
        .file("w_1-1.0.data/scripts/py", b"#!pythonw -u\nprint(1)\n")
        .file("w_1-1.0.data/scripts/sh", b"#!/bin/sh\n")
        .file("w_1-1.0.data/scripts/run", b"#!python\nreplaced\n")
        .file(
            "w_1-1.0.dist-info/entry_points.txt",
            b"[console_scripts]\nrun = w:main [x]\n",
        );
    insta::assert_snapshot!(tree(&[wheel]).unwrap(), @r#"
    755  
    755 bin/ 
    755 bin/py #!/opt/venv/bin/python | print(1)
    755 bin/run #!/opt/venv/bin/python | # -*- coding: utf-8 -*- | import sys | from w import main | if __name__ == "__main__": |     if sys.argv[0].endswith("-script.pyw"): |         sys.argv[0] = sys.argv[0][:-11] |     elif sys.argv[0].endswith(".exe"): |         sys.argv[0] = sys.argv[0][:-4] |     sys.exit(main())
    755 bin/sh #!/bin/sh
    755 include/ 
    755 include/site/ 
    755 include/site/python3.11/ 
    755 include/site/python3.11/w-1/ 
    755 include/site/python3.11/w-1/h/ 
    644 include/site/python3.11/w-1/h/w.h h
    755 lib/ 
    755 lib/python3.11/ 
    755 lib/python3.11/site-packages/ 
    644 lib/python3.11/site-packages/plat.py plat
    644 lib/python3.11/site-packages/pure.py pure
    755 lib/python3.11/site-packages/w/ 
    644 lib/python3.11/site-packages/w/__init__.py 
    755 lib/python3.11/site-packages/w/dot/ 
    644 lib/python3.11/site-packages/w/dot/x.py x
    755 lib/python3.11/site-packages/w/empty/ 
    755 lib/python3.11/site-packages/w/group g
    755 lib/python3.11/site-packages/w/link __init__.py
    644 lib/python3.11/site-packages/w/no-mode n
    644 lib/python3.11/site-packages/w/private p
    644 lib/python3.11/site-packages/w.pth import w
    755 lib/python3.11/site-packages/w_1-1.0.dist-info/ 
    644 lib/python3.11/site-packages/w_1-1.0.dist-info/METADATA
    644 lib/python3.11/site-packages/w_1-1.0.dist-info/RECORD ../../../bin/py,sha256=qnLk2Db4y5EWyEuOvsYXbL0BJtk-rw7i9qoOJ0mULl8,32 | ../../../bin/run,sha256=n0jE2iQeVJsCM00KmSpHLA8lUuGYJEUTpPhiU8uy_TY,287 | ../../../bin/sh,sha256=qAdtPSjSHgIBKyDq99v3VAmmJ3E0Q5Al8oLjaOMwWr8,10 | ../../../include/site/python3.11/w-1/h/w.h,sha256=qqlAJmTxpB9A67xSyZk-tmrrNmYClY_fqig7ceZNsSM,1 | ../../../share/w.txt,sha256=Om6weQ85rIfJTzhWst0sXREOaBFgImGpqSPTuyOtyLc,4 | plat.py,sha256=zmkRjSVyRoq378C8FIAnnnxi9ZTYk2mYjO9SSp-kApA,4 | pure.py,sha256=uLoux-kHE8EEN3gWSvMlCCCUPCFlyfGfopmH4Baq5d0,4 | w.pth,sha256=bPy50DEiJ1wSwjLwhOZ0LZ8pD0x_xmlmN7I2wBM8WMw,9 | w/./dot//x.py,sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE,1 | w/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0 | w/group,sha256=zQqphWFHtsW0_yt9_uXaIKo4JTCZ7xtKZKztIzya_ik,1 | w/link,sha256=jiwfcnJ20wztcvpny4SHcqmAIWK-w5tCqN9TWf0GOkw,11 | w/no-mode,sha256=Gxax31OLoS3D-X7buFyqcFDUbBSBNCkP66gPgjbIPbk,1 | w/private,sha256=FI3pxaekTRnlbNmuGlVL9nhHr7DFj24S-imsfd_KmUA,1 | w_1-1.0.data/scripts/run,sha256=1EXaZoEOxZU1QoKjQWA-bmEWDmCVtSOVxws6sVCmU58,18 | w_1-1.0.dist-info/METADATA,sha256=-WYBFJ90AJos-EHfrYgE1WTMeSsmXNHMS4O66nTFeSE,45 | w_1-1.0.dist-info/RECORD,, | w_1-1.0.dist-info/WHEEL,sha256=JCVX9z8V-js2aV5qmQR2E3fiCs-Yu3vPO91cCBmO1JM,59 | w_1-1.0.dist-info/entry_points.txt,sha256=sQGwoDcPEFmUT3udi0ZT1xuX4CdcqB-Hn7NdFKEY7Ow,35
    644 lib/python3.11/site-packages/w_1-1.0.dist-info/WHEEL
    644 lib/python3.11/site-packages/w_1-1.0.dist-info/entry_points.txt
    755 share/ 
    644 share/w.txt data
    "#);
}

#[test]
fn of_two_entries_with_one_path_the_later_one_counts() {
    let wheel = SmallWheel::new("w")
        .file("w.py", b"first")
        .entry(ZipEntry::new("w.py", b"second").mode(0o100755))
        .record("w-1.0.dist-info/RECORD,,\n");
    assert!(
        tree(&[wheel])
            .unwrap()
            .contains("755 lib/python3.11/site-packages/w.py second\n")
    );
}

#[test]
fn wheels_may_share_files_only_where_they_are_the_same() {
    let with = |name: &str, bytes: &[u8]| SmallWheel::new(name).file("shared/__init__.py", bytes);
    assert!(tree(&[with("a", b"same"), with("b", b"same")]).is_ok());
    let error = tree(&[with("a", b"one"), with("b", b"two")]).unwrap_err();
    insta::assert_snapshot!(error, @"lib/python3.11/site-packages/shared/__init__.py is in a-1.0-py3-none-any.whl and in b-1.0-py3-none-any.whl, with different contents");
    let clash = [
        with("a", b""),
        SmallWheel::new("b").file("shared", b"a file"),
    ];
    let error = tree(&clash).unwrap_err();
    assert!(matches!(error, LayerError::Overlap { .. }), "{error}");
}

#[test]
fn layers_may_share_files_only_where_they_are_the_same() {
    let target = Target::new("3.11".parse().unwrap(), "/opt/venv").unwrap();
    let files = |name: &str, bytes: &[u8]| -> FileList {
        let wheel = SmallWheel::new(name).file("x/y.py", bytes).open().unwrap();
        write_wheels(&[wheel], &target, Compression::Zstd, std::io::sink())
            .unwrap()
            .1
    };
    let names = ["a", "b", "c"].map(|name| vec![format!("{name}.whl")]);
    let (a, b, c) = (files("a", b"1"), files("b", b"1"), files("c", b"2"));
    check_overlaps(&[(&names[0], &a), (&names[1], &b)]).unwrap();
    let error = check_overlaps(&[(&names[0], &a), (&names[2], &c)]).unwrap_err();
    insta::assert_snapshot!(error, @"lib/python3.11/site-packages/x/y.py is in a.whl and in c.whl, with different contents");
    assert_eq!(FileList::from_bytes(&a.to_bytes()).unwrap(), a);
}
