// Instead of the theme's 90 kB, which draw icons that its font has, too.
