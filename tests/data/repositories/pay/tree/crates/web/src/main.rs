fn main() {
    println!("{}", web::receipt("4242 4242 4242 4242", 1200));
    std::thread::Builder::new().name("web-worker-3".into()).spawn(|| web::receipt("42", 1)).unwrap().join().ok();
}
