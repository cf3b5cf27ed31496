#include <stdexcept>
#include <string>
struct config { std::string get(const char *k) { throw std::out_of_range(std::string("no key ") + k); } };
int main() { return config().get("port").size(); }
