"""English for titles and file names that are Italian, French, abbreviated or misspelt; each was checked by eye."""

# The title as `captions` cleans it (lower case, no numbers) = what the drawing shows.
_TABLE = """
8 ball form=rack of billiard balls; 9 ball form=rack of billiard balls; abitazione villa con giardino=villa with a garden
acquila=eagle; aglio=garlic; air=blue smiley; al bar=man at a bar; albero=tree; alcatel oxo=telephone exchange
alerta for manuals=warning label; ambulans=ambulance; ambulanza=ambulance; amibe=blue sea creature
analisi del sangue=blood test; anatra=duck; andalusia=map of andalusia; anelli=rings; another folder icon=folder
antilope=antelope; ape miele=honey bee; appunti=notepad; aquila frontale=eagle seen from the front
arbre modern=stylised tree; architetto=architect; architetto francesco rollandin=lizard; as coeur=ace of hearts
as pique=ace of spades; asse da stiro=ironing board; asso carte=ace playing card
attaccapanni con vestito da donna=dress on a clothes hanger; attenzione=warning sign; attenzione rotondo=round warning sign
australia - torres streight islanders=the torres strait islanders; ayres rock australia=ayers rock in australia
az lizard=lizard; azienda vendite=sales company; b w tiger=tiger; baby tux=baby penguin; back=the back of a playing card
baloon=balloon; bambi=deer; barattolo di pillole=jar of pills; basque=the basque country; belgium walloon=wallonia, belgium
betoniera=concrete mixer; biberon=baby bottle; bibliografia francesco rollandin=row of books; bicicletta cycle=bicycle
binocolo=binoculars; blazer=off-road car; blocco ghiaccio=block of ice; blocco notes=notepad; blokken=chequered
blowling ball=bowling ball; blue man=blue stick man; bmw z4 from top=three cars seen from above
boating rules illustration=diagram of boating rules; bobi=dog; bobine=film reel; bofish=red fish; borsa estiva=summer bag
borsetta=handbag; bottiglia di vino pregiato=bottle of fine wine; bowsaw=bow saw; bretagne=brittany
brown hair boy face=face of a boy with brown hair; buddy=person; bunch o buttons=blue buttons
bus opposite=sign of a bus lane in the other direction; bussiness woman donna in carriera=business woman; bussola=compass
butterfly from star=butterfly; button blue=blue button; button yellow=yellow button; bypasspruner=pruning shears
c rollandin francesco=ladybird; cacuts=cactus; calamita=magnet; calcolatrice=calculator; calebasse=calabash
calzettoni=long socks; camicia in seta=silk shirt; cammello=camel; canada - saskatuan=saskatchewan, canada
canarian islands=map of the canary islands; canarias=map of the canary islands; candela=candle; canguro=kangaroo
cani e gatti , cat and dog=cat and dog; cani e gatti, cat and dog=cat and dog
capitello modanatura modanature moulure moulures=moulding; carpentiere=carpenter; carretta da cantiere=wheelbarrow
carta=sheet of paper; cartella dossier directory=folder; cartes=card suits; cartoon vgcats fanart=cartoon cat
casa dei sogni=dream house; casa in campagna=country house; casa plurifamigliare=apartment house; casa verde=green house
casco con microfono=helmet with a microphone; cassa d'epoca=antique cash register; cassa negozio=cash register
cassette video=video cassettes; cat scrathing post=cat scratching post; caterpillar=bulldozer; cavalletta=grasshopper
cavallo=horse; cdfrontcover=the cover of a cd; cdlabel=the label of a cd
celticknotwork trianglesimple=triangular celtic knot; cestino pieno=full waste basket; cestino vuoto=empty waste basket
cesto=basket; cfbulb brightlit=lit energy saving lamp; cfbulb notlit=energy saving lamp; chalet di montagna=mountain chalet
chalet di montagna architetto francesco rollandin=mountain chalet; champignon=mushroom; chateau=castle
chaussee particulierementglissante=slippery road; chess pieces=chess piece; chiave=key; chomper=pac-man
cigni bianchi e neri=black and white swans; cigno=swan; cigno di notte nella palude=swan at night in a swamp
cigno di spalle=swan from behind; cinepresa=film camera; ciuccio=baby's dummy; clean palm=handheld computer
clessidra=hourglass; clips=paper clips; close hauled=diagram of a boat sailing close hauled; cloud c=cloud; cloud l=cloud
cloud r=cloud; coccinella=ladybird; coccinella rollandin=ladybird; coccinelle=ladybird; coccinellona=big ladybird
coffe,tea=cup of coffee; colombo=dove; color tiger=tiger; colori=coloured pencils
come si dispongono le posate=table setting; condominio=block of flats; coniglio=rabbit; container for other icons=blue
copper the beagle=beagle; cornetto=ice cream cone; corridore=runner; couronne=crown; couteau=knife; crayon=pencil
crazymoon=crazy moon; cronometro=stopwatch; crystal=green smiley; cubo giallo=yellow cube; cubo rosso=red cube
cubo verde=green cube; cuppa schwoo=cup of coffee; cymru flag=flag of wales; danger electrique=electrical hazard
danger general=general danger; dannebrog - split=denmark; decorazione=decoration
demolizione costruzione=demolition of a building; dente=tooth; derbouk=goblet drum; diagramma=diagram
diamante illuminati=ambigram; dice=die; diner menu collection=cup of coffee; dino=dinosaur; dinosauri=dinosaurs
dinosauro=dinosaur; direction a suivre=direction arrow; donna casinista=busy woman; donna incinta=pregnant woman
dossier=folder; double sight dual monitor=dual monitor; drop=drop of water; dvd mount=dvd; easter=easter bunny
eight ball form=rack of billiard balls; elefante=elephant; elefante in corsa=running elephant; elefantone=big elephant
elips c=oval; elips l=oval; elips r=oval; end daul=end of dual carriageway; envelop=envelope
esperimento chimico=chemical experiment; estrella=star; etiquette laptop=laptop; etiquette printer=printer; fabbrica=factory
farfalla - butterfly=butterfly; farfalla contorno=outline of a butterfly; farfalla semplice=simple butterfly
farfalla stilizzata=stylised butterfly; farmer onelette=filled sandwich; fata fatina=fairy; fattoria=farm; female=woman
ferro da stiro=iron for clothes; festoni=party streamers; finestra=window; finestra estendi=window; finestra hz=window
finestra ridimensiona=window; finestre sovrapposte=overlapping windows; finestre vt=windows
finnish region: satakunta=satakunta, finland; fiocco=bow of ribbon; fiore=smiling flower; fire ball=ball of fire
firestation=fire station; firstquarter=first quarter moon; flamand=flamingo; foglie arancioni=orange leaves
foglie marroni=brown leaves; foglie rosse=red leaves; foglie verdi=green leaves; foglio e mondo=paper and globe
forbici e pettine - scissors and comb=scissors and comb; forchettoni da grigliata=barbecue forks; formichina=little ant
formicona=big ant; formulario=form; france - st.pierre and miquelon=saint pierre and miquelon, france; fullmoon=full moon
funnyflower=funny flower; fuoco da campeggio=campfire; gabbiano=seagull; gabbiano piccolo=small seagull
gallo di profilo=rooster in profile; gateau=cake; gattina cat=cat; gatto cat=cat; gatto nero=black cat
gelato all'italiana=ice cream; ghirlande festa=party garlands; giardinaggio=gardening; glace=ice lolly
glace italienne=ice cream cone; globe blue=blue globe; gnome fs network=computer network; gnome mime document=document
gps geko=gps receiver; gradient radial eyeball albino red viewable=red eyeball; grass hopper=grasshopper
grattacieli grigi=grey skyscrapers; griglia=barbecue grill; grondaia=gutter of a roof; grounded=risk of grounding
guanti e pinze=gloves and pliers; gufo civetta=owl; gwen ha du=flag of brittany; h foot print=footprints
handphone=mobile phone; heart highlight=heart; heart left highlight=heart; heeling=heeling sailing boats
hiking in the mountains=woman hiking in the mountains; home piche=red house; hotel icon in room hair=hair dryer sign
human, humain, umano seduto=sitting person; hygieia=statue of hygieia; icecube=ice cube
icons=pictograms of people and luggage; icthus=ichthys fish symbol; imbianchino in piedi=house painter
inservice presentation=woman giving a presentation; insetto=insect; io bambina=girl; io donna uomo=woman and man
istogramma=bar chart; jonathon's duck=duck; kanji love=kanji sign for love; karl iv=coin of karl iv; kernow=cornwall
kids sailing=children sailing; knot illustration=knots; kubek herbaty - mug of tea=mug of tea; la prugna=plum
lampada da cantiere=work lamp; lampada di aladino=magic lamp; lana=ball of wool; laserprinter=laser printer
lastquarter=last quarter moon; lattine di birra=beer cans; le mie tigri preferite=two tigers; lens, lente=magnifying glass
lente=magnifying glass; lente meno=magnifying glass with a minus sign; lente normale=magnifying glass; leone=lion
lettera=letter; lezard=lizard; libellula=dragonfly; libellule=dragonfly; libro di ricette di cucina italiana=cookbook
lightbulb brightlit=lit light bulb; lightbulb lit=lit light bulb; line explosion=exploding lines
linux powered=the word linux; livella=spirit level; logaritmic diagram=logarithmic diagram; lotas=lotus flower
lotion=bottle of lotion; lowtec house=outhouse; lucchetto grigio=grey padlock; lucchetto ottone=brass padlock
lucertola=lizard; lucertola arrotolata=curled lizard; lucertola maya=maya lizard; lucertolona=big lizard
lucertolone=big lizard; lumaca=snail; lumaca turbo=fast snail; lune=moon; macchina caffe=coffee machine
macchina fotografica digitale=digital camera; magelan handheld gps=handheld gps; man head=head of a man
manager=penguin dressed as a manager; mante religieuse=praying mantis; mantide religiosa=praying mantis
marchio gallina=hen emblem; martellare=hammering; martin luther king jr=portrait of martin luther king jr
mascot=mascot with a shopping cart; mattone poroton=brick; mazzo di fiori=bunch of flowers; mcoon=egg in an egg cup
meatgrinder=meat grinder; medicina dottore=doctor; memory ddr=memory module; menu example=plate of food with a drink
metro avvolgibile=tape measure; microscopio=microscope; midautumn=lantern under the moon
mirjam meijer=three flowers and a butterfly; mix cucina, frullatore=kitchen mixer; mobile=mobile phone; mondo=globe
montacarichi=goods lift; moschito=mosquito; moschito stecchito=dead mosquito; mostriciattolo=little monster
motivo geometrico=geometric pattern; motosega=chainsaw; mouse scroll=computer mouse; mucca=cow
municipios tenerife=map of tenerife; music theory tone semi tone=piano keys with tones and semitones; narrows=road narrows
new zealand maori=maori people; noi due insieme=two hands with glasses; nomoon=new moon
nonno sport=grandfather doing sports; northern territory black=map of the northern territory
northern territory shaded=map of the northern territory; nucleare simbolo=nuclear symbol
obligation generale=general obligation; olifant=elephant; olivier one=olive branch; oneway=one way; ontologia del vino=wine
orleans express lower left corner=corner ornament; orme sulla neve=footprints in the snow; orologio da parete=wall clock
orso=bear; otto=otto, the openoffice mascot; ours=bear; pacco regalo=gift box; pace e bene=dove of peace
pace e bene!=dove of peace; packman=pac-man; paesaggio marino=seascape; page=sheet of paper; palloncini=balloons
pallone aerestatico=hot air balloon; pan=frying pan; pan cakes=pancakes; pancakes berries=pancakes with berries
pannocchia di gran turco=corn cob; paper rpswb=hand that shows paper; papera=duck; paperbag=paper bag
papers=sheets of paper; passo carrabile=no parking sign; pastas=file manager window; pasteque=watermelon
pattinatrice=woman skating; pattinatrici sul ghiaccio=ice skaters; pattino=ice skate; pecora=sheep; pecorella=little sheep
pennuto=bird; penny front=penny; peperoncino - pepper=chili pepper; pera=pear; pesca=peach; pescetto=little fish
pescetto arancione=little orange fish; pesistica=man lifting weights; photo=postcard; piggybank=piggy bank
pill button red=red button; pinguino=penguin; pinguino col piccolo=penguin with its chick; pinkhome=pink house
pinkhome simple=pink house; pinzatrice grigia=grey stapler; pinzatrice rollandin=stapler; piramide=pyramid
pittura con pennello=paint and brush; pizza stagioni=four seasons pizza; plush tux=plush penguin
pocket trumpet b flat=pocket trumpet; poison=bottle of poison; pollo=chicken; poltrona ufficio=office chair
pomodori=tomatoes; pong=game of pong; porcinet=the face of a pig; portafoglio=wallet
pregnancy silhouet=silhouettes of pregnant women; principessa=princess; profilati profilato ipe ipn acciaio=steel beam
profilo della citta=city skyline; proiettore=projector; propeller=propeller cap; provetta=test tube
provetta plasma sangue=test tube with blood; provette=test tubes; prune=plum; pudim=caramel pudding; pulsante=button
punaisa=shield bug; puntine=drawing pins; quattro farfalle=four butterflies; queensland black=map of queensland
queensland shaded=map of queensland; queues=queues likely; r15 general=piano keys with the names of their notes
racked=rack of servers; ragazza bionda=blonde girl; ragazza bruna=girl with brown hair; ragazza rossa=girl with red hair
ragazza seduta=sitting girl; ragazzo=boy; ragnetto incazzato=angry little spider; ragno figo=spider; ramarro=green lizard
rana=frog; ravanello=radish; reaching=diagram of a boat reaching; rectg c=rectangular; rectg l=rectangular
rectg r=rectangular; recznik - wiper=towel; reload=reload arrows; reunion=meeting; rhinoceros 3d=rhinoceros
rilievo rollandin=relief; rios de espana=rivers of spain; rnd rectg c=rounded; rnd rectg l=rounded; rnd rectg r=rounded
road runner=brown car; rock rpswb=fist; roman=roman bust; rosa=rose; round c=round; round l=round; round r=round
rubik=rubik's cube; rubik's cube random=scrambled rubik's cube; rugby=rugby ball
running free=diagram of a boat running free; ruota dentata=gear wheel; ruota dentata grigia=grey gear wheel
sacco a pelo per campeggio=sleeping bag; saku robot=robot; sakura=cherry blossom; salvagente=lifebuoy; sapin=fir tree
sapone liquido=liquid soap; saxowoman=saxophone player; scala doppia=stepladder; scale=balance; scatolone=cardboard box
schermo macintosh=computer screen; scissors - forbici=scissors; scissors rpswb=hand that shows scissors
scodella gatto=cat bowl; scolapasta e pentola=colander and pot; scotch rollandin francesco=roll of sticky tape
secchio e spugna=bucket and sponge; sedia e ombrelloni=chair and parasols; sedia in legno=wooden chair
sega per legno=wood saw; segmented=jagged; segmented c=jagged; segmented l=jagged; segmented r=jagged; serratura=door lock
set gatti=set of cats; shaezy=cartoon animal; shamrock for march=shamrock; shelby cobra blue print=blueprint of a sports car
signore=gentleman; signorina=young lady; signorina in viola=lady in purple; signorinacappello=lady with a hat
signorinafoulard=lady with a scarf; silouettedonnavestiti=silhouette of a woman and clothes; simbol donna=symbol of a woman
simbol medicina=symbol of medicine; simbolo egizio=egyptian symbol; simbolo emergenza sanitaria=star of life
simbolo giapponese=japanese symbol; simple jk b=joker playing card; simple jk r=joker playing card; siringa=syringe
skoynk=rabbit; slate apple=slate with an apple; smiley laugh=laughing smiley; smileytwinkle=winking smiley
soccer ballon=soccer ball; sole=sun behind a cloud; soleil=sun; sony clie=handheld computer
sortie issue de secours=emergency exit; source cpp=c++ source file; south korea - taegeukgi=south korea
southen cross black=the southern cross; spaclu=spatula; spain - basque=the basque country, spain; spain plain=spain
spanish regions=the regions of spain; spaventapasseri=scarecrow; speech bubbles=several speech bubbles
sport aerobica=aerobics; sport garudasana=yoga pose; sport harnsasana=yoga pose; sport khagarnasana=yoga pose
sport kzounchasana=yoga pose; sport mayuzasana=yoga pose; sport paksinasana=yoga pose; sport parsva bakasana=yoga pose
sport stacco=man lifting weights; sportcar=sports car; st pierre miquelon=saint pierre and miquelon
stambecco valdostano=ibex; stampante=printer; stappler=stapler; stara ksiega - old book=old book; stared=star-shaped
stared c=star-shaped; stared l=star-shaped; stared r=star-shaped; starwalker=star with a face
stemma comune saint vincent valle d'aosta=coat of arms of saint vincent; stetoscopio fonendoscopio=stethoscope
stickyman=stick man; storage=storage cylinder; stormo di uccelli=flock of birds; straw tote=straw bag
striscia agnellini=border of lambs; striscia mucche=border of cows; struzzo=ostrich; sub subacqueo=scuba diver
sugarbox=sugar box; sunshine=sun; tabella=table; tacchino=turkey; tacchino di natale=christmas turkey
tacks=diagram of tacking; tamerlane chess=board of tamerlane chess; tangram=set of tangram figures
tante orme sulla neve=many footprints in the snow; tasto=key of a keyboard; tatoo tatuaggio tatuaggi=tattoo design
tavola esame ottico=eye chart; tavolo in legno=wooden table; tavolozza=paint palette; tazza di caffe=cup of coffee
teide=mount teide; teiera tazza=teapot and cup; telecamera=video camera; telefono=telephone
televisore telecomando=television with a remote control; tempus fugit=mechanical horse; tenda da campeggio=camping tent
tetris=game of tetris; texturelegno=wood texture; the incredible tux=green giant penguin
the mad little ship=ship in a bottle; thongs=flip-flops; tigre=tiger; topo=mouse; toro al tramonto=bull at sunset
torta=cake; tramezzino=sandwich; traslocatore=furniture mover; trattore=tractor; tree whit fruits=tree with fruits
trekking in montagna=woman hiking in the mountains; triskel=triskelion; trumpet b flat=trumpet; tux=penguin
tux head=the head of a penguin; tv=television; uccello bianco e nero=black and white bird; uccello profilo=bird in profile
uk guernsey=guernsey; ukrainian map=map of ukraine; unita disco rigido=hard disk drive; uovo sorridente=smiling egg
us capitol building inkpen style=us capitol building; us capitol building style=us capitol building; user lambda=person
utensile sega=saw; utensili chiave e cacciavite=wrench and screwdriver; utente singolo=user; utenti=users
vacca pezzata rossa valdostana=red and white cow; valigie bags=suitcases; vavuum cleaner - upright=vacuum cleaner
vestito rosa=pink dress; video=monitor; video lcd=flat monitor; virus=computer bug; viti=screws
volleball net=volleyball net; vtt=mountain bike; waningcrescent=waning crescent moon; waninggibbous=waning gibbous moon
water balloon throw and hit=man hit by a water balloon; waxingcrescent=waxing crescent moon
waxinggibbous=waxing gibbous moon; weight lifting=man lifting weights; western australia black=map of western australia
western australia shaded=map of western australia; what's up, doc=carrot; white jk b=joker playing card
white jk r=joker playing card; woman eyes=eyes of a woman; woman police=policewoman; wooden mallot=wooden mallet
x simbol=symbol of an x; xmas=christmas tree; zaino per montagna=mountain backpack; zanzara=mosquito
zanzara cretina=silly mosquito; zielony kubek herbaty - green mug of tea=green mug of tea; zinf=media player; zucca=pumpkin
"""

ENGLISH = dict(pair.strip().split("=") for line in _TABLE.strip().splitlines() for pair in line.split(";"))
for _colour in ("red", "green", "blue", "yellow"):
    ENGLISH[f"jigsaw {_colour}"] = f"{_colour} jigsaw piece"
    for _way in ("up", "down", "left", "right"):
        ENGLISH[f"arrow {_way} {_colour}"] = f"{_colour} arrow that points {_way}"
for _animal in ("bat", "beaver", "cheetah", "chipmunk", "fox", "giraffe", "hamster", "kangaroo"):
    ENGLISH[f"contour {_animal}"] = f"silhouette of a {_animal}"
for _animal in ("elephant", "orangutan"):
    ENGLISH[f"contour {_animal}"] = f"silhouette of an {_animal}"
