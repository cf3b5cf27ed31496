local op, a = arg[1], arg[2]
local kept = {}
if op == "open" then
	local f = assert(io.open(a))
	assert(f:read(100))
elseif op == "lines" then
	for _ in io.lines(a) do
	end
elseif op == "fill" then
	local f = assert(io.open(a, "w"))
	f:setvbuf("no")
	while true do
		assert(f:write(string.rep("x", 65536)))
	end
elseif op == "many" then
	while true do
		kept[#kept + 1] = assert(io.open("/dev/null"))
	end
elseif op == "chmod" then
	assert(os.remove(a))
elseif op == "mkdir" then
	assert(os.rename(a, a .. "x"))
elseif op == "fork" then
	while true do
		kept[#kept + 1] = assert(io.popen("exec sleep 3"))
	end
elseif op == "memory" then
	while true do
		kept[#kept + 1] = string.rep("x", 256 << 20)
	end
elseif op == "pipe" then
	io.stdout:setvbuf("no")
	while true do
		assert(io.stdout:write(string.rep("x", 65536)))
	end
end
