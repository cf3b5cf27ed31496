// A thread for each request.
#include <chrono>
#include <thread>
#include <vector>
int main()
{
	std::vector<std::thread> all;
	for (;;)
		all.emplace_back([] { std::this_thread::sleep_for(std::chrono::hours(1)); });
}
