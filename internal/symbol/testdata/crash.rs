use std::hint::black_box;

mod shop {
    pub struct Cart<T> {
        pub items: Vec<T>,
    }
    pub trait Visit {
        fn visit(&self, at: usize) -> u32;
    }
    impl Visit for Cart<u32> {
        #[inline(never)]
        fn visit(&self, at: usize) -> u32 {
            unsafe { std::ptr::read_volatile(std::hint::black_box(at) as *const u32) + self.items[0] }
        }
    }
    #[inline(never)]
    pub fn generic<V: Visit>(v: &V) -> u32 {
        v.visit(16) + std::hint::black_box(1)
    }
}

#[inline(never)]
fn panics(n: usize) -> u32 {
    let v = vec![1, 2, 3];
    v[black_box(n)]
}

fn main() {
    if std::env::args().count() > 1 {
        println!("{}", panics(7));
    }
    let c = shop::Cart { items: vec![1] };
    println!("{}", shop::generic(&c));
}
