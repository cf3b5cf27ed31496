require 'socket'
s = TCPSocket.new('127.0.0.1', 7200)
s.write("feed\n")
s.readpartial(4096) while true
