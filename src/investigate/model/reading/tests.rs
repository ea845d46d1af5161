//! What a model may read of a commit, and every way out of it that is none.

use proptest::prelude::*;

use super::*;
use crate::investigate::source::forge::{Forge, git, mirrors, soon};

const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx7Zq\nq83Jd8sKx0aZ92mNbVcXlKjHgFdSaPoIuYtReWqA\n-----END RSA PRIVATE KEY-----";

fn files() -> (Forge, CommitFiles) {
    let forge = Forge::new();
    forge.write("shop/prices.py", "# prices\ndef price_of(sku):\n    return TABLE[sku]\n");
    forge.write("shop/web.py", "from shop.prices import price_of\n");
    forge.write("shop/-rf", "TABLE = 1\n");
    forge.write(
        "config/keys.py",
        format!("# a key\nKEY = '''\n{PEM}\n'''\nTOKEN = \"ghp_abcdefghijklmnopqrstuvwxyz0123456789\"\nafter = 1\n"),
    );
    forge.write(".env", "TABLE=secret\n");
    forge.write("logo.png", [0x89, 0, 1, 2]);
    forge.write("big.txt", "x".repeat(FILE_MAX + 1));
    std::os::unix::fs::symlink("/etc/passwd", forge.repository().join("outside")).expect("a link");
    std::os::unix::fs::symlink("shop", forge.repository().join("inside")).expect("a link");
    forge.commit("Begin");
    let other = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{other},vendor")]);
    forge.git(&["commit", "--quiet", "-m", "A submodule"]);
    let commit = forge.git(&["rev-parse", "HEAD"]);
    let mirrors = mirrors(forge.home.path(), "git");
    let files = CommitFiles::of(&mirrors, &forge.location(), &commit, soon()).expect("fetched");
    assert_eq!(files.commit(), commit);
    (forge, files)
}

fn text(found: Result<Redacted, String>) -> String {
    found.map_or_else(|words| format!("! {words}"), |text| text.to_string())
}

#[test]
fn what_a_commit_holds_is_read_searched_and_listed() {
    let (_forge, files) = files();
    let wanted = "     2  def price_of(sku):\n     3      return TABLE[sku]\n(2 of 3 lines)";
    assert_eq!(text(files.read("shop/prices.py", 2, 900)), wanted);
    assert_eq!(text(files.read("./shop/web.py", 0, 1)), "     1  from shop.prices import price_of\n(1 of 1 lines)");
    assert_eq!(text(files.read("shop/web.py", 2, 9)), "! That file has 1 lines.");
    let found = "shop/prices.py:2  def price_of(sku):\nshop/web.py:1  from shop.prices import price_of";
    assert_eq!(text(files.search("price_of")), found);
    // Neither the file that may hold secrets nor one whose name looks like an option troubles anybody.
    assert_eq!(text(files.search("TABLE")), "shop/-rf:1  TABLE = 1\nshop/prices.py:3  return TABLE[sku]");
    assert_eq!(text(files.search("price_of(.*)")), "! No line that may be shown holds that text.");
    assert_eq!(text(files.search("--all")), "! No line that may be shown holds that text.");
    assert_eq!(text(files.list("shop/")), "-rf\nprices.py\nweb.py");
    let root = ".env\nbig.txt\nconfig/\ninside (a link)\nlogo.png\noutside (a link)\nshop/\nvendor (a submodule)";
    assert_eq!(text(files.list("")), root);
    assert_eq!(text(files.list(".")), root);
}

#[test]
fn nothing_leads_out_of_the_commit() {
    let (forge, files) = files();
    std::fs::write(forge.home.path().join("beside"), "beside").expect("a file");
    forge.write("uncommitted.py", "x = 1\n");
    for path in [
        "",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../beside",
        "shop/../../beside",
        "shop/..",
        "shop//web.py",
        "~/x",
        "-rf",
        "outside",
        "inside",
        "inside/web.py",
        "vendor",
        "vendor/x",
        "shop",
        "uncommitted.py",
        ".git/config",
        "HEAD",
        ".env",
        "shop\\web.py",
        "shop/web.py\0",
        "shop/web.py\n",
        "--output=x",
        ":(top)shop/web.py",
        "HEAD:shop/web.py",
        "*",
        "logo.png",
        "big.txt",
    ] {
        assert!(files.read(path, 1, 5).is_err(), "{path:?}");
    }
    for folder in ["..", "/", "/etc", "shop/..", "inside", "outside", "vendor", "nowhere", "shop/web.py", "a\0"] {
        let listed = text(files.list(folder));
        assert!(folder == "/" || listed.starts_with("! "), "{folder:?}: {listed}");
    }
    for sought in ["", "x", "a\nb", "a\0b", &"x".repeat(201)] {
        assert!(files.search(sought).is_err(), "{sought:?}");
    }
}

#[test]
fn a_secret_of_several_lines_is_hidden_whichever_of_them_is_asked_for() {
    let (_forge, files) = files();
    let whole = text(files.read("config/keys.py", 1, 99));
    assert!(whole.contains("     9  after = 1\n(9 of 9 lines)"), "{whole}");
    for line in 1..=9 {
        let one = text(files.read("config/keys.py", line, line));
        assert!(!one.contains("MIIE") && !one.contains("q83J") && !one.contains("ghp_a"), "{one}");
    }
    assert!(files.search("q83Jd8sKx0aZ92mNbVcXlKjHgFdSaPoIuYtReWqA").is_err(), "what is hidden is not confirmed");
    assert!(files.search("MIIEowIBAAKCAQEAx7Zq").is_err());
}

#[test]
fn a_repository_that_is_gone_is_a_sentence() {
    let (forge, files) = files();
    std::fs::remove_dir_all(forge.home.path().join("mirrors")).expect("removed");
    assert_eq!(text(files.read("shop/web.py", 1, 1)), "! It could not be read.");
    assert_eq!(text(files.search("price_of")), "! It could not be searched.");
    let (git, _) = git(forge.home.path(), "git");
    assert!(CommitFiles::open(git, forge.home.path().join("mirrors"), &"a".repeat(40), soon()).is_err());
}

#[test]
fn files_that_usually_hold_secrets_are_known_by_name() {
    for secret in
        [".env", "a/.env.production", "deploy/id_rsa", "x/tls.KEY", "a/.npmrc", "prod.tfvars", ".aws/credentials"]
    {
        assert!(may_be_secret(secret), "{secret}");
    }
    for open in [".env.example", "env.py", "keys.py", "src/key.rs", "credentials.py", "environment"] {
        assert!(!may_be_secret(open), "{open}");
    }
}

proptest! {
    #[test]
    fn whatever_is_listed_is_sound_and_whatever_is_asked_for_is_listed_or_nothing(
        rows in proptest::collection::vec("(100644|120000|160000|x) blob [0-9a-f]{6,8}\t[a./\\-\\\\]{0,8}", 0..20),
        path in "[a./\\-]{0,8}",
    ) {
        let listed = names(rows.join("\0").as_bytes());
        prop_assert!(listed.iter().all(|name| !name.path.split('/').any(|part| part.is_empty() || part == "..")));
        if let Ok(sound) = sound(&path) {
            prop_assert!(!sound.starts_with('/') && !sound.split('/').any(|part| part == ".."));
        }
    }

    #[test]
    fn there_are_as_many_lines_as_before(text in "([a-z=: ]|\n|\r\n|password: x|\u{1b}\\[0m){0,60}") {
        prop_assert_eq!(hidden(&text).len(), text.lines().count());
    }
}
