# Sends without waiting. Forty refusals in a row, a tenth of a second apart, are one too many.
require "socket"
l = TCPServer.new("127.0.0.1", ARGV[0].to_i)
puts "ready"
$stdout.flush
c = l.accept
c.readpartial(4096)
left = 40
loop do
  c.write_nonblock("p" * 65536)
  left = 40
rescue IO::WaitWritable
  left -= 1
  raise if left.zero?
  sleep 0.1
end
