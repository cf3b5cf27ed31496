public class Deep {
    static int price(int item) { return price(item + 1) + 1; }
    public static void main(String[] a) { System.out.println(price(0)); }
}
