//! The files of a commit, and which of them a frame speaks of.
//!
//! A frame is compared with the names in the tree and with nothing else: what it says is never looked up on a
//! disk. Symbolic links and submodules are no files here, so nothing that is read leads out of the commit.

use std::collections::HashMap;

use super::frame::{Frame, Language};

/// Files of source code that are held of one commit, some 30 MB; of more the rest is not known.
const FILES_MAX: usize = 200_000;
/// A longer path is not a person's.
const PATH_MAX: usize = 1000;
/// Files that fit a frame equally well.
const CANDIDATES_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// From the root of the repository, with slashes.
    pub path: String,
    /// Of its content.
    pub oid: String,
}

#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// By the file's own name.
    files: HashMap<String, Vec<File>>,
    held: usize,
    /// There are more than are held.
    pub cut: bool,
}

/// A file that fits a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub file: File,
    /// Of the frame's path, names that it has in common, from its end on.
    pub common: usize,
    /// Nothing but its name fits, though both have folders.
    pub by_name_only: bool,
    /// It is what the file of the frame was made from: lines do not fit.
    pub is_original: bool,
}

/// Folders that compilers write to, and those they read from.
const BUILT: [&str; 6] = ["dist", "build", "out", "lib", ".next", "output"];

impl Tree {
    /// Of what `ls-tree -r -z` prints: `<mode> <type> <oid>\t<path>`, each ended by a zero byte.
    pub fn read(listed: &[u8]) -> Tree {
        let mut tree = Tree::default();
        for row in listed.split(|b| *b == 0) {
            let Some((head, path)) = std::str::from_utf8(row).ok().and_then(|row| row.split_once('\t')) else {
                continue;
            };
            let mut words = head.split(' ');
            let (mode, oid) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
            let is_file = mode == "100644" || mode == "100755";
            let name = path.rsplit('/').next().unwrap_or(path);
            if !is_file || path.len() > PATH_MAX || Language::of(name).is_none() {
                continue;
            }
            if tree.held >= FILES_MAX {
                tree.cut = true;
                break;
            }
            tree.held += 1;
            let file = File { path: path.to_owned(), oid: oid.to_owned() };
            tree.files.entry(name.to_owned()).or_default().push(file);
        }
        tree
    }

    /// Those that fit best, and of them the likeliest first. `service`: a folder called so is likelier than another.
    pub fn find(&self, frame: &Frame, service: &str) -> Vec<Candidate> {
        if frame.is_class {
            return self.of_class(frame, service);
        }
        let found = self.ranked(&frame.parts, false, frame, service);
        if !found.is_empty() || frame.language != Some(Language::Script) {
            return found;
        }
        self.originals(frame, service)
    }

    fn ranked(&self, parts: &[String], is_original: bool, frame: &Frame, service: &str) -> Vec<Candidate> {
        let Some(name) = parts.last() else { return Vec::new() };
        let mut ranked: Vec<(Rank, Candidate)> = Vec::new();
        for file in self.files.get(name).into_iter().flatten() {
            let common = file.path.rsplit('/').zip(parts.iter().rev()).take_while(|(a, b)| a == b).count();
            let depth = file.path.split('/').count();
            let candidate = Candidate {
                file: file.clone(),
                common,
                by_name_only: common == 1 && depth > 1 && parts.len() > 1,
                is_original,
            };
            ranked.push((rank(file, common, common == depth, frame, service), candidate));
        }
        best(ranked)
    }

    /// `dist/orders/service.js` was `src/orders/service.ts`.
    fn originals(&self, frame: &Frame, service: &str) -> Vec<Candidate> {
        let Some((name, folders)) = frame.parts.split_last() else { return Vec::new() };
        let from = folders.iter().rposition(|folder| BUILT.contains(&folder.as_str())).map_or(0, |at| at + 1);
        let Some((stem, _)) = name.rsplit_once('.') else { return Vec::new() };
        let endings = ["ts", "tsx", "mts", "cts", "jsx", "js", "mjs"];
        let found = endings.iter().map(|ending| {
            let inner = folders.get(from..).unwrap_or_default().iter().cloned();
            let parts: Vec<String> = inner.chain([format!("{stem}.{ending}")]).collect();
            self.ranked(&parts, true, frame, service)
        });
        found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
    }

    fn of_class(&self, frame: &Frame, service: &str) -> Vec<Candidate> {
        let Some(class) = frame.parts.last() else { return Vec::new() };
        let endings = ["cs", "java", "kt", "scala"];
        let found = endings.iter().map(|ending| self.ranked(&[format!("{class}.{ending}")], true, frame, service));
        found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
    }
}

/// More is likelier. Names in common first, then that the whole path is, then words that the frame and the path share.
type Rank = (usize, bool, usize, bool);

fn rank(file: &File, common: usize, whole: bool, frame: &Frame, service: &str) -> Rank {
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let folders: Vec<String> = file.path.split('/').map(plain).collect();
    let has = |word: &str| folders.contains(&plain(word));
    let words = frame.context.iter().filter(|word| has(word)).count();
    (common, whole, words, !service.is_empty() && has(service))
}

/// All of the highest rank, the shortest path first.
fn best(mut ranked: Vec<(Rank, Candidate)>) -> Vec<Candidate> {
    let Some(highest) = ranked.iter().map(|(rank, _)| *rank).max() else { return Vec::new() };
    ranked.retain(|(rank, _)| *rank == highest);
    ranked.sort_by(|(_, a), (_, b)| (a.file.path.len(), &a.file.path).cmp(&(b.file.path.len(), &b.file.path)));
    ranked.into_iter().take(CANDIDATES_MAX).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let row = |path: &&str| format!("100644 blob {:040x}\t{path}\0", path.len());
        Tree::read(paths.iter().map(row).collect::<String>().as_bytes())
    }

    fn found(tree: &Tree, frame: &str, service: &str) -> Vec<String> {
        let frame = Frame::read(frame).expect(frame);
        tree.find(&frame, service).into_iter().map(|c| c.file.path).collect()
    }

    #[test]
    fn a_frame_finds_its_file_by_the_longest_common_end() {
        let tree = tree(&[
            "main.py",
            "tools/main.py",
            "services/cart/app/views.py",
            "services/billing/app/views.py",
            "src/main/java/com/acme/pay/Price.java",
            "src/test/java/com/acme/other/Price.java",
            "crates/pay-core/src/lib.rs",
            "crates/web/src/lib.rs",
            "src/orders/service.ts",
            "src/Billing/Pay.cs",
        ]);
        for (frame, service, path) in [
            ("/app/main.py:1 in f", "", "main.py"),
            ("/usr/src/app/tools/main.py:1 in f", "", "tools/main.py"),
            ("/app/app/views.py:3 in f", "billing", "services/billing/app/views.py"),
            ("Price.java:3 in com.acme.pay.Price.of", "", "src/main/java/com/acme/pay/Price.java"),
            ("src/lib.rs:3 in pay_core::post", "", "crates/pay-core/src/lib.rs"),
            ("/build/crates/web/src/lib.rs:3", "", "crates/web/src/lib.rs"),
            ("/app/dist/orders/service.js:64 in S.reserve", "", "src/orders/service.ts"),
            ("App.Billing.Pay.Close", "", "src/Billing/Pay.cs"),
        ] {
            assert_eq!(found(&tree, frame, service), [path], "{frame}");
        }
        assert_eq!(found(&tree, "/app/app/views.py:3 in f", "").len(), 2);
        assert!(found(&tree, "/app/none.py:3 in f", "").is_empty());
    }

    #[test]
    fn links_submodules_and_other_files_are_not_held() {
        let listed =
            b"120000 blob 01\ta.py\x00160000 commit 02\tb.py\x00040000 tree 03\tc.py\x00100644 blob 04\tREADME\x00\
            100644 blob 05\t\xff.py\x00garbage\x00100755 blob 06\td.py\x00";
        let tree = Tree::read(listed);
        assert_eq!(tree.held, 1);
        assert_eq!(found(&tree, "/app/d.py:1", ""), ["d.py"]);
    }
}
