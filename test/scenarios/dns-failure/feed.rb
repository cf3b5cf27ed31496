# Reads the feed of a partner.
require 'net/http'
puts 'reading the feed'
puts Net::HTTP.get(ARGV[0], '/feed.xml', 8081)
