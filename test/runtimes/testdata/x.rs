use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::{env, io, thread, time::Duration};

fn work(op: &str, arg: &[String]) -> io::Result<()> {
    let mut kept: Vec<File> = vec![];
    let mut children = vec![];
    let port = |i: usize| arg[i].parse::<u16>().unwrap();
    match op {
        "open" => {
            let mut s = vec![0; 100];
            File::open(&arg[0])?.read(&mut s)?;
        }
        "fill" => {
            let mut f = File::create(&arg[0])?;
            loop {
                f.write_all(&[0; 65536])?;
            }
        }
        "many" => loop {
            kept.push(File::open("/dev/null")?);
        },
        "mkdir" => fs::create_dir(&arg[0])?,
        "chmod" => {
            let mut p = fs::metadata(&arg[0])?.permissions();
            p.set_readonly(!p.readonly());
            fs::set_permissions(&arg[0], p)?;
        }
        "connect" | "dial" => {
            TcpStream::connect((arg[0].as_str(), port(1)))?;
        }
        "talk" => {
            let mut s = TcpStream::connect((arg[0].as_str(), port(1)))?;
            s.write_all(b"hello\n")?;
            s.read(&mut [0; 100])?;
        }
        "listen" => {
            TcpListener::bind((arg[0].as_str(), port(1)))?;
        }
        "exec" => {
            Command::new(&arg[0]).status()?;
        }
        "big" => {
            Command::new("/bin/true").arg("x".repeat(4000000)).status()?;
        }
        "spawn" => loop {
            thread::Builder::new().spawn(|| thread::sleep(Duration::from_secs(3)))?;
        },
        "spawn2" => loop {
            thread::spawn(|| thread::sleep(Duration::from_secs(3)));
        },
        "fork" => loop {
            children.push(Command::new("sleep").arg("3").spawn()?);
        },
        "memory" => {
            let mut all: Vec<Vec<u8>> = vec![];
            loop {
                all.push(Vec::with_capacity(256 << 20));
            }
        }
        "pipe" => loop {
            io::stdout().write_all(&[0; 65536])?;
        },
        _ => {}
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let arg: Vec<String> = env::args().collect();
    if env::var("SAY").is_ok() {
        return work(&arg[1], &arg[2..]);
    }
    work(&arg[1], &arg[2..]).unwrap();
    Ok(())
}
