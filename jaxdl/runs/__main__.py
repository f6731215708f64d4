from jaxdl.runs import main

main()
