module conform.test/parts

go 1.24
