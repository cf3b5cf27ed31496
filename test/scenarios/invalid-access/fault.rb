require 'fiddle'
Fiddle::Pointer.new(8)[0, 4]
