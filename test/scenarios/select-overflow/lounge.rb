# Ruby sizes its sets as they must be: 1,200 pipes and IO.select go well.
ends = []
600.times { ends.concat(IO.pipe) }
ready = IO.select(ends.select.with_index { |_, i| i.even? }, ends.select.with_index { |_, i| i.odd? }, nil, 0)
puts "writable #{ready[1].size}"
