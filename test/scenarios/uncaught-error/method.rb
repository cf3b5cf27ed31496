class Basket
  def sum(prices) = prices.map { |p| p.fetch(:net) }.sum
end
puts Basket.new.sum([{ net: 3 }, { gross: 4 }])
