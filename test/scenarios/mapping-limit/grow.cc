// A vector that grows until new throws.
#include <iostream>
#include <vector>
int main()
{
	std::vector<std::vector<char>> rows;
	std::cout << "reading rows" << std::endl;
	for (;;)
		rows.emplace_back(1 << 20);
}
