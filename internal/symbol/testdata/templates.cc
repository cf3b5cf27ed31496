#include <map>
#include <stdexcept>
#include <string>
#include <vector>

static volatile int zero;

namespace shop {
template <typename T> struct Cart {
	std::vector<T> items;
	__attribute__((noinline)) T &at(std::size_t n) {
		if (n > 5) *(volatile int *)(long)zero = 1;
		return items[n];
	}
};
struct Visitor {
	virtual ~Visitor() = default;
	virtual int visit(Cart<std::string> &c) = 0;
};
struct Counter : Visitor {
	__attribute__((noinline)) int visit(Cart<std::string> &c) override { return c.at(7 + zero).size() + zero; }
};
} // namespace shop

static inline __attribute__((always_inline)) int checkout(shop::Visitor *v, shop::Cart<std::string> &c) {
	int n = v->visit(c);
	return n + zero;
}

__attribute__((noinline)) int run(shop::Visitor *v) {
	shop::Cart<std::string> c;
	auto f = [&](int k) __attribute__((noinline)) { return checkout(v, c) + k; };
	return f(zero) + zero;
}

__attribute__((noinline)) void thrower() { throw std::runtime_error("no"); }

int main(int argc, char **) {
	if (argc > 1) thrower();
	shop::Counter v;
	return run(&v) + zero;
}
