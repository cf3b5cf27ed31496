require 'socket'
op, *arg = ARGV
kept = []
case op
when 'open' then File.read(arg[0])
when 'fill' then File.open(arg[0], 'wb') { |f| f.sync = true; loop { f.write('x' * 65_536) } }
when 'many' then loop { kept << File.open('/dev/null') }
when 'mkdir' then Dir.mkdir(arg[0])
when 'chmod' then File.chmod(0o777, arg[0])
when 'connect' then TCPSocket.new(arg[0], arg[1].to_i)
when 'dial' then Socket.tcp(arg[0], arg[1].to_i)
when 'talk' then s = TCPSocket.new(arg[0], arg[1].to_i); s.write("hello\n"); s.readpartial(100)
when 'listen' then TCPServer.new(arg[0], arg[1].to_i)
when 'exec' then exec(*arg)
when 'big' then exec('/bin/true', 'x' * 4_000_000)
when 'spawn' then loop { kept << Thread.new { sleep 100 } }
when 'fork' then loop { kept << spawn('sleep', '3') }
when 'memory' then loop { kept << 'x' * (256 << 20) }
when 'pipe' then $stdout.sync = true; loop { $stdout.write('x' * 65_536) }
end
